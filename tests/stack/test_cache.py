"""The cache on the running stack: what is bought, what it costs, and what is told of it.

The module needs a stack with WaitSeconds=3.
"""

import asyncio
import json

import openai
import pytest

from tests.stack.running import decoded, fetched, png, unique

MAX_AGE = {"Cache-Control": "max-age=3600"}
LOW = {"quality": "low"}


def extra(made) -> tuple[str, bool, float]:
    return tuple(made.model_extra[name] for name in ("id", "cached", "cost_usd"))


def hits(running, tenant: str) -> int:
    return sum(row.get("hits", 0) for row in running.rows("LedgerTable", "count#", tenant))


def test_by_one_header(running):
    tenant, key = running.new_tenant()
    images, prompt = running.openai(api_key=key).images, unique("a fox")
    asked = {"prompt": prompt, "extra_headers": MAX_AGE, **LOW}
    first = images.with_raw_response.generate(**asked)
    second = images.with_raw_response.generate(**asked)
    job, cached, cost = extra(first.parse())
    assert not cached
    assert cost > 0
    assert "age" not in first.headers
    assert extra(second.parse()) == (job, True, 0)
    assert 0 <= int(second.headers["age"]) < 600
    assert second.headers["cache-control"] == "no-store"
    assert decoded(fetched(second.parse().data[0].url)).size == (1024, 1024)
    assert running.paid(prompt) == 1

    anew = images.generate(prompt=prompt, **LOW, extra_headers={"Cache-Control": "no-cache"})
    assert extra(anew)[0] != job
    assert not extra(anew)[1]
    assert running.paid(prompt) == 2
    assert extra(images.generate(**asked)) == (extra(anew)[0], True, 0)
    assert hits(running, tenant) == 2
    said, true = running.books(tenant)
    assert said == true


def test_by_one_setting_of_the_tenant(running):
    tenant, key = running.new_tenant(cache_ttl=3600)
    images, prompt = running.openai(api_key=key).images, unique("a fox")
    kept = {"Cache-Control": "no-store"}
    apart = images.generate(prompt=prompt, **LOW, extra_headers=kept)
    first, second = (images.generate(prompt=prompt, **LOW) for _ in range(2))
    assert extra(apart)[0] != extra(first)[0] == extra(second)[0]
    assert [extra(one)[1] for one in (apart, first, second)] == [False, False, True]
    old = {"Cache-Control": "max-age=0"}
    assert not extra(images.generate(prompt=prompt, **LOW, extra_headers=old))[1]
    assert running.paid(prompt) == 3
    assert hits(running, tenant) == 1
    quoted = images.generate(prompt=prompt, **LOW, extra_body={"quote": True})
    assert (quoted.would, quoted.cached, quoted.cost_usd) == ("repeat", True, 0)


def test_a_key_buys_and_another_tenant_does_too(running):
    prompt = unique("a fox")
    tenants = [running.new_tenant(cache_ttl=3600) for _ in range(2)]
    clients = [running.openai(api_key=key) for _, key in tenants]
    for client in clients:
        assert not extra(client.images.generate(prompt=prompt, **LOW))[1]
    key = {"Idempotency-Key": prompt}
    assert not extra(clients[0].images.generate(prompt=prompt, **LOW, extra_headers=key))[1]
    assert running.paid(prompt) == 3


def test_an_edit_is_known_by_its_images(running):
    _, key = running.new_tenant(cache_ttl=3600)
    images, prompt = running.openai(api_key=key).images, unique("in red")
    red, blue = png(256, 256), png(256, 256, (0, 0, 200))
    made = [images.edit(image=one, prompt=prompt, **LOW) for one in (red, red, blue)]
    assert [extra(one)[1] for one in made] == [False, True, False]
    assert running.paid(prompt) == 2


@pytest.mark.parametrize(("ttl", "bought"), [(3600, 1), (0, 4)])
def test_four_equal_calls_at_once_through_slow_waits(running, ttl, bought):
    """With the cache on one pays, and three join it, each through its own 303s."""
    tenant, key = running.new_tenant(cache_ttl=ttl)
    prompt = unique("a slow fox")
    running.standin.rule(containing=prompt, delay_seconds=8)

    async def four():
        async with running.openai_async(api_key=key) as client:
            calls = (client.images.generate(prompt=prompt, **LOW) for _ in range(4))
            return await asyncio.gather(*calls)

    made = [extra(one) for one in asyncio.run(four())]
    assert running.paid(prompt) == len({job for job, *_ in made}) == bought
    assert sorted(cached for _, cached, _ in made) == [False] * bought + [True] * (4 - bought)
    assert all((cost == 0) == cached for _, cached, cost in made)
    assert hits(running, tenant) == 4 - bought
    said, true = running.books(tenant)
    assert said == true


def test_who_has_joined_keeps_the_job_from_being_cancelled(running):
    _, key = running.new_tenant()
    client, prompt = running.openai(api_key=key), unique("a fox")
    running.standin.rule(
        containing=prompt, status=429, code="rate_limit_exceeded", message="Try again in 50s."
    )
    later = {"Prefer": "respond-async"}
    # Refused, it holds up all calls to its model: one that no other test is waiting for.
    ask = {"prompt": prompt, "model": "gpt-image-2.6-sunburst", "quality": "low"}
    job = client.images.generate(**ask, extra_headers=later)
    met = client.images.generate(**ask, extra_headers={**later, **MAX_AGE})
    assert met.id == job.id
    with pytest.raises(openai.ConflictError, match="nobody else waits"):
        client.delete(f"/jobs/{job.id}", cast_to=object)


def test_a_stream_is_a_hit_too(running):
    tenant, key = running.new_tenant(cache_ttl=3600)
    images, prompt = running.openai(api_key=key).images, unique("a fox")
    for cached in False, True:
        [event] = images.generate(prompt=prompt, stream=True, **LOW)
        assert event.type == "image_generation.completed"
        assert event.model_extra["cached"] == cached
        assert (event.model_extra["cost_usd"] == 0) == cached
    assert (running.paid(prompt), hits(running, tenant)) == (1, 1)


def test_an_answer_too_large_for_lambda_tells_each_caller_its_own_cost(running):
    _, key = running.new_tenant(cache_ttl=3600)
    images, prompt = running.openai(api_key=key).images, unique("a wide fox")
    running.standin.rule(containing=prompt, image_bytes=1_000_000)
    asked = {"prompt": prompt, "n": 5, "response_format": "b64_json", **LOW}
    payer, other, last = (extra(images.generate(**asked)) for _ in range(3))
    assert payer[1:] == (False, payer[2])
    assert payer[2] > 0
    assert other == last == (payer[0], True, 0)
    assert running.paid(prompt) == 1


def test_pictures_that_are_gone_are_made_anew(running):
    tenant, key = running.new_tenant(cache_ttl=3600)
    images, prompt = running.openai(api_key=key).images, unique("a fox")
    job, *_ = extra(images.generate(prompt=prompt, **LOW))
    answer = json.loads(running.job(job, tenant)["answer"])
    running.aws("s3").delete_object(Bucket=running.bucket, Key=answer["images"][0]["key"])
    again, cached, _ = extra(images.generate(prompt=prompt, **LOW))
    assert (again == job, cached) == (False, False)
    assert running.paid(prompt) == 2


def test_a_hit_needs_no_budget(running):
    tenant, key = running.new_tenant()
    images, prompt = running.openai(api_key=key).images, unique("a fox")
    job, *_ = extra(images.generate(prompt=prompt, **LOW))
    running.budget(tenant, 0)
    asked = {"prompt": prompt, **LOW}
    assert extra(images.generate(**asked, extra_headers=MAX_AGE)) == (job, True, 0)
    assert running.paid(prompt) == 1
