// openai-node with its default settings: `node slow.mjs PROMPT PICTURE`, where openai is installed.
import fs from "node:fs";
import { createRequire } from "node:module";

const { OpenAI } = createRequire(`${process.cwd()}/`)("openai");
const [prompt, picture] = process.argv.slice(2);
const { images } = new OpenAI();
const answers = await Promise.all([
  images.generate({ prompt: `${prompt} generated` }),
  images.edit({ prompt: `${prompt} edited`, image: fs.createReadStream(picture) }),
]);
console.log(JSON.stringify(answers.map(({ id, data }) => ({ id, url: data[0].url }))));
