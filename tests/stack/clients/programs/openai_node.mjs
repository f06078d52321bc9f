// openai-node from 4 on; the case comes as JSON in the one argument. Run where `library` is installed.
import fs from "node:fs";

const asked = JSON.parse(process.argv[2]);
const { default: OpenAI } = await import(asked.library);
const { images } = new OpenAI({ baseURL: asked.base_url, apiKey: asked.key });
const operations = { generate: "generate", edit: "edit", variation: "createVariation" };

const given = {};
const names = ["prompt", "size", "response_format"];
if (asked.operation !== "variation") names.push("output_format");
for (const name of names) if (asked[name]) given[name] = asked[name];
if (asked.operation !== "generate") given.image = fs.createReadStream(asked.picture);

let made = [];
if (asked.way === "stream") {
  for await (const event of await images[operations[asked.operation]]({ ...given, stream: true })) {
    if (!event.type.endsWith(".completed")) throw new Error(event.type);
    made.push(event);
  }
} else {
  made = (await images[operations[asked.operation]](given)).data;
}
console.log(JSON.stringify(made.map(({ url, b64_json }) => ({ url, b64_json }))));
