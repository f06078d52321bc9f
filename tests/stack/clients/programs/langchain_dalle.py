"""LangChain's DallEAPIWrapper; the case comes as JSON in the one argument. It knows URLs only."""

import json
import sys

from langchain_community.utilities.dalle_image_generator import DallEAPIWrapper


def main():
    asked = json.loads(sys.argv[1])
    wrapper = DallEAPIWrapper(base_url=asked["base_url"], api_key=asked["key"], size=asked["size"])
    json.dump([{"url": url} for url in wrapper.run(asked["prompt"]).split("\n")], sys.stdout)


main()
