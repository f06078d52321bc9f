"""Repeats and new purchases: the same job where the caller says so, four cats for four calls."""

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from tests.stack.running import png, unique


def test_a_key_is_one_job_side_by_side_and_one_after_the_other(running):
    prompt, headers = unique("a fox"), {"Idempotency-Key": uuid.uuid4().hex}

    def make(_: int) -> str:
        made = running.client.images.generate(prompt=prompt, extra_headers=headers)
        return made.model_extra["id"]

    with ThreadPoolExecutor() as pool:
        ids = {*pool.map(make, range(4)), make(4)}
    assert len(ids) == 1
    assert running.jobs(prompt) == list(ids)
    assert len(running.standin.calls(containing=prompt)) == 1


def test_a_key_with_another_request_is_a_conflict(running):
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    running.client.images.generate(prompt=unique("a fox"), extra_headers=headers)
    other = unique("another fox")
    with pytest.raises(openai.ConflictError) as caught:
        running.client.images.generate(prompt=other, extra_headers=headers)
    assert caught.value.code == "idempotency_key_reused"
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert running.jobs(other) == []


def test_a_key_is_its_tenants_own(running):
    prompt, headers = unique("a fox"), {"Idempotency-Key": uuid.uuid4().hex}
    other, key = running.new_tenant()
    for client in (running.client, running.openai(api_key=key)):
        client.images.generate(prompt=prompt, extra_headers=headers)
    assert len({*running.jobs(prompt), *running.jobs(prompt, other)}) == 2
    assert running.paid(prompt) == 2


@pytest.mark.parametrize("operation", ["generate", "edit"])
def test_a_counted_retry_is_the_job_it_repeats(running, operation):
    prompt = unique("a fox")
    given = {"image": png()} if operation == "edit" else {}
    ids = set()
    for count in (0, 1, 1, 2):
        made = getattr(running.client.images, operation)(
            prompt=prompt, extra_headers={"x-stainless-retry-count": str(count)}, **given
        )
        ids.add(made.model_extra["id"])
    assert running.jobs(prompt) == list(ids)
    assert len(running.standin.calls(containing=prompt)) == 1


def test_asking_four_times_for_a_cat_means_four_cats(running):
    prompt = unique("a cat")

    async def make() -> list[openai.types.ImagesResponse]:
        async with running.openai_async() as client:
            return await asyncio.gather(*[client.images.generate(prompt=prompt) for _ in range(4)])

    made = asyncio.run(make())
    assert len({answer.model_extra["id"] for answer in made}) == 4
    assert len({answer.data[0].url.partition("?")[0] for answer in made}) == 4
    assert running.paid(prompt) == 4


def test_four_callers_that_have_to_retry_still_get_four_cats(running):
    """None of them waits at all, so each has followed its last hop long before its cat is done."""
    prompt = unique("a slow cat")
    running.standin.rule(containing=prompt, delay_seconds=4)

    async def make() -> list[openai.types.ImagesResponse]:
        async with running.openai_async(max_retries=50) as client:
            call = client.images.generate
            headers = {"Prefer": "wait=0"}
            return await asyncio.gather(
                *[call(prompt=prompt, extra_headers=headers) for _ in range(4)]
            )

    made = asyncio.run(make())
    assert running.paid(prompt) == 4
    assert len({answer.data[0].url.partition("?")[0] for answer in made}) == 4
