// Ten images in base64, as JSON and as a stream: `node large.mjs PROMPT`, where openai is installed.
import { createRequire } from "node:module";

const { OpenAI } = createRequire(`${process.cwd()}/`)("openai");
const asked = { n: 10, size: "1536x1024", response_format: "b64_json" };
const { images } = new OpenAI();
const bytes = (each) => Buffer.from(each.b64_json, "base64").length;
const made = await images.generate({ prompt: `${process.argv[2]} made`, ...asked });
const streamed = [];
const events = await images.generate({ prompt: `${process.argv[2]} streamed`, stream: true, ...asked });
for await (const event of events) streamed.push(bytes(event));
console.log(JSON.stringify([made.data.map(bytes), streamed]));
