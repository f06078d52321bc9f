"""A tenant's rates on the running stack: held by all functions together, and said exactly."""

from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from openai import DefaultHttpxClient

from tests.stack.running import unique


def test_of_callers_side_by_side_as_many_are_let_in_as_may(running):
    name, key = running.new_tenant(requests_per_minute=4)
    prompt = unique("a fox")

    def call(_):
        with running.http(key) as http:
            return http.post("/images/generations", json={"prompt": prompt, "quality": "low"})

    with ThreadPoolExecutor(10) as callers:
        answers = list(callers.map(call, range(10)))
    assert sorted(one.status_code for one in answers) == [200] * 4 + [429] * 6
    assert len(running.jobs(prompt, name)) == running.paid(prompt) == 4
    for refused in (one for one in answers if one.status_code == 429):
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert refused.headers["x-ratelimit-limit-requests"] == "4"
        assert 0 < int(refused.headers["retry-after-ms"]) <= 15_000


def test_an_unmodified_program_waits_and_goes_on(running):
    _, key = running.new_tenant(images_per_minute=6)
    statuses = []
    hooks = {"response": [lambda response: statuses.append(response.status_code)]}
    client = running.openai(api_key=key, http_client=DefaultHttpxClient(event_hooks=hooks))
    prompt = unique("a fox")
    for n in 6, 1:
        made = client.images.generate(prompt=prompt, quality="low", n=n)
        assert len(made.data) == n
    assert statuses.count(429) == 1
    assert running.paid(prompt) == 2


def test_images_have_a_rate_of_their_own(running):
    name, key = running.new_tenant(images_per_minute=3)
    client = running.openai(api_key=key, max_retries=0)
    prompt = unique("a fox")
    made = client.images.with_raw_response.generate(prompt=prompt, quality="low", n=2)
    assert made.headers["x-ratelimit-remaining-images"] == "1"
    with pytest.raises(openai.RateLimitError) as refused:
        client.images.generate(prompt=prompt, quality="low", n=2)
    assert refused.value.code == "rate_limit_exceeded"
    with pytest.raises(openai.BadRequestError, match="ask for fewer at once") as never:
        client.images.generate(prompt=prompt, n=4)
    assert never.value.param == "n"
    said, added = running.books(name)
    assert said == added
    assert len(running.jobs(prompt, name)) == 1
