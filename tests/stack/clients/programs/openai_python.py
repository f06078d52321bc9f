"""openai-python from 1 on, in all its ways to call; the case comes as JSON in the one argument."""

import asyncio
import json
import sys
from pathlib import Path

from openai import AsyncOpenAI, OpenAI

OPERATIONS = {"generate": "generate", "edit": "edit", "variation": "create_variation"}


def arguments(asked, image):
    given = {name: asked[name] for name in ("size", "response_format") if asked[name]}
    if asked["operation"] == "variation":
        hint = {"extra_body": {"prompt": asked["prompt"]}} if asked["prompt"] else {}
        return {**given, **hint, "image": image}
    if asked["operation"] == "edit":
        given["image"] = image
    return {**given, "prompt": asked["prompt"], "output_format": asked["output_format"]}


def sync(images, name, given):
    return getattr(images, name)(**given).data


def raw(images, name, given):
    return getattr(images.with_raw_response, name)(**given).parse().data


def streamed(images, name, given):
    with getattr(images.with_streaming_response, name)(**given) as response:
        return response.parse().data


def events(images, name, given):
    made = list(getattr(images, name)(**given, stream=True))
    kinds = {event.type.rpartition(".")[2] for event in made}
    assert kinds == {"completed"}, kinds
    return made


async def asynchronous(client, name, given):
    async with client:
        return (await getattr(client.images, name)(**given)).data


def main():
    asked = json.loads(sys.argv[1])
    defaults = {"base_url": asked["base_url"], "api_key": asked["key"]}
    name = OPERATIONS[asked["operation"]]
    with Path(asked["picture"]).open("rb") as image:
        given = arguments(asked, image)
        if asked["way"] == "async":
            made = asyncio.run(asynchronous(AsyncOpenAI(**defaults), name, given))
        else:
            ways = {"sync": sync, "raw": raw, "streamed": streamed, "stream": events}
            made = ways[asked["way"]](OpenAI(**defaults).images, name, given)
    pictures = [{"url": getattr(one, "url", None), "b64_json": one.b64_json} for one in made]
    json.dump(pictures, sys.stdout)


main()
