"""The guide's own program, for openai 0.28.1; base URL and key come by the environment."""

# Word for word, quotes, imports and all:
# ruff: noqa: I001, T201
# fmt: off

import os
import openai

openai.api_key = os.getenv('OPENAI_API_KEY')

response = openai.Image.create(
    model='gpt-image-1',
    prompt='A futuristic cityscape at sunset with neon lights and flying cars',
    n=1,
    size='1024x1024'
)
image_url = response['data'][0]['url']
print('Generated image URL:', image_url)
