"""openai-python 0.28.1, older than its clients; the case comes as JSON in the one argument."""

import asyncio
import json
import sys
from pathlib import Path

import openai

OPERATIONS = {"generate": "create", "edit": "create_edit", "variation": "create_variation"}


def main():
    asked = json.loads(sys.argv[1])
    openai.api_base, openai.api_key = asked["base_url"], asked["key"]
    names = ["prompt", "size", "response_format"]
    if asked["operation"] != "variation":
        names.append("output_format")
    given = {name: asked[name] for name in names if asked[name]}
    with Path(asked["picture"]).open("rb") as image:
        if asked["operation"] != "generate":
            given["image"] = image
        name = OPERATIONS[asked["operation"]]
        if asked["way"] == "async":
            response = asyncio.run(getattr(openai.Image, f"a{name}")(**given))
        else:
            response = getattr(openai.Image, name)(**given)
    json.dump(response["data"], sys.stdout)


main()
