// The Vercel AI SDK's generateImage; the case comes as JSON in the one argument. It knows base64 only,
// and asks for it by name unless the model's name begins with gpt-image.
import fs from "node:fs";

const asked = JSON.parse(process.argv[2]);
const { createOpenAI } = await import(asked.provider);
const { generateImage, experimental_generateImage } = await import(asked.library);
const provider = createOpenAI({ baseURL: asked.base_url, apiKey: asked.key });

const { images } = await (generateImage ?? experimental_generateImage)({
  model: provider.image(asked.response_format ? "dall-e-3" : "gpt-image-1"),
  prompt:
    asked.operation === "edit"
      ? { text: asked.prompt, images: [fs.readFileSync(asked.picture)] }
      : asked.prompt,
  size: asked.size,
  providerOptions: { openai: { outputFormat: asked.output_format } },
});
console.log(JSON.stringify(images.map(({ base64 }) => ({ b64_json: base64 }))));
