// openai-node 3, on axios; the case comes as JSON in the one argument. Run where `library` is installed.
import fs from "node:fs";

const asked = JSON.parse(process.argv[2]);
const { Configuration, OpenAIApi } = await import(asked.library);
const api = new OpenAIApi(new Configuration({ basePath: asked.base_url, apiKey: asked.key }));

const { prompt, size, operation, output_format, response_format } = asked;
const form = response_format ?? undefined;
const picture = () => fs.createReadStream(asked.picture);
const call = {
  generate: () => api.createImage({ prompt, size, output_format, response_format: form }),
  edit: () => api.createImageEdit(picture(), prompt, undefined, 1, size, form),
  variation: () => api.createImageVariation(picture(), 1, size, form),
};
const { data } = await call[operation]();
console.log(JSON.stringify(data.data.map(({ url, b64_json }) => ({ url, b64_json }))));
