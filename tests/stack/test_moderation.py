"""Moderation on the running stack: what is blocked at which door, and that nobody can read it."""

import base64
import json

import openai
import pytest

from tests.stack.running import decoded, fetched, png, unique, until

MAGENTA = (255, 0, 255)
"""What the stand-in takes for violence, and paints where a prompt says so."""
JUDGED = {"moderation": "prompt+output"}
CAT = {"images": [{"image_url": f"data:image/png;base64,{base64.b64encode(png()).decode()}"}]}
DIRECTLY = {"Generate": {}, "Edit": CAT, "Variation": CAT}
"""What each function that makes pictures is given beside a prompt, when it is invoked."""


def judged(running, prompt):
    """Return how often this prompt was judged."""
    return len(running.standin.calls(containing=prompt, path="moderations"))


def blocked(ask, stage, **arguments):
    """Ask for what is blocked; return the error."""
    with pytest.raises(openai.BadRequestError) as caught:
        ask(**arguments)
    error = caught.value
    assert (error.code, error.type) == ("moderation_blocked", "image_generation_user_error")
    assert error.response.headers["x-should-retry"] == "false"
    assert error.body["moderation_details"]["moderation_stage"] == stage
    return error


def balanced(running, name):
    said, true = running.books(name)
    assert said == true
    return said["spent"]


def test_a_blocked_prompt_buys_nothing_by_https(running):
    name, key = running.new_tenant()
    prompt = unique("a forbidden-violence fox")
    error = blocked(running.openai(api_key=key).images.generate, "input", prompt=prompt)
    assert error.body["moderation_details"]["categories"] == ["violence"]
    assert "(violence); nothing was bought" in error.message
    assert (judged(running, prompt), running.standin.calls(containing=prompt)) == (1, [])
    assert balanced(running, name) == 0


def test_a_prompt_that_passes_is_judged_once(running):
    prompt = unique("a fox")
    made = running.client.images.generate(prompt=prompt, quality="low")
    assert decoded(fetched(made.data[0].url)).size == (1024, 1024)
    assert (judged(running, prompt), running.paid(prompt)) == (1, 1)


def test_a_blocked_input_image_buys_nothing(running):
    name, key = running.new_tenant()
    prompt = unique("a hat")
    image = ("fox.png", png(640, 480, MAGENTA), "image/png")
    edit = running.openai(api_key=key).images.edit
    error = blocked(edit, "input", prompt=prompt, image=[("a.png", png(), "image/png"), image])
    assert error.param == "image"
    assert running.standin.calls(containing=prompt) == []
    assert balanced(running, name) == 0


def answered(running, name, prompt, picture):
    """Put a picture into the inbox; return its answer, which is all that comes to the outbox."""
    place, answer = f"inbox/{name}/fox.png", f"outbox/{name}/fox.png.json"
    running.aws("s3").put_object(
        Bucket=running.bucket, Key=place, Body=picture, Metadata={"prompt": prompt}
    )
    until(lambda: running.objects(answer))
    assert running.objects(f"outbox/{name}/") == [answer]
    return json.loads(running.object(answer))


def test_a_blocked_question_of_the_inbox_is_answered(running):
    name, _ = running.new_tenant()
    prompt = unique("a forbidden-sexual hat")
    document = answered(running, name, prompt, png(64, 64))
    assert document["error"]["code"] == "moderation_blocked"
    assert (document["cost_usd"], running.standin.calls(containing=prompt)) == (0, [])


def test_a_direct_invocation_is_told_too(running):
    name, _ = running.new_tenant()
    prompt = unique("a forbidden-hate fox")
    failed, told = running.invoke("Generate", {"tenant": name, "prompt": prompt})
    assert failed
    assert told["errorMessage"].startswith("The prompt was blocked by moderation (hate)")
    assert running.standin.calls(containing=prompt) == []


def test_a_tenant_of_no_moderation_is_not_judged(running):
    _, key = running.new_tenant(moderation="off")
    prompt = unique("a forbidden-violence fox")
    made = running.openai(api_key=key).images.generate(prompt=prompt, quality="low")
    assert decoded(fetched(made.data[0].url)).size == (1024, 1024)
    assert (judged(running, prompt), running.paid(prompt)) == (0, 1)


def test_outputs_that_pass_are_delivered_and_leave_quarantine(running):
    name, key = running.new_tenant(**JUDGED)
    prompt = unique("a fox")
    made = running.openai(api_key=key).images.generate(prompt=prompt, quality="low", n=2)
    assert [decoded(fetched(one.url)).size for one in made.data] == [(1024, 1024)] * 2
    assert running.objects(f"quarantine/{name}/") == []
    assert len(running.objects(f"images/{name}/")) == 3
    assert running.paid(prompt) == 1
    assert balanced(running, name) > 0


@pytest.mark.parametrize("function", DIRECTLY)
def test_a_direct_invocation_lets_out_what_passes(running, function):
    name, _ = running.new_tenant(**JUDGED)
    prompt = unique("a fox")
    event = {"tenant": name, "prompt": prompt, "quality": "low", **DIRECTLY[function]}
    failed, made = running.invoke(function, event)
    assert not failed
    assert decoded(fetched(made["data"][0]["url"])).size == (1024, 1024)
    assert running.objects(f"quarantine/{name}/") == []
    assert running.objects(f"images/{name}/{made['id']}/1/0.png")
    assert running.paid(prompt) == 1
    assert balanced(running, name) > 0


@pytest.mark.parametrize("function", DIRECTLY)
def test_a_direct_invocation_judges_outputs_itself(running, function):
    name, _ = running.new_tenant(**JUDGED)
    prompt = unique("a magenta fox")
    event = {"tenant": name, "prompt": prompt, "quality": "low", **DIRECTLY[function]}
    failed, told = running.invoke(function, event)
    assert failed
    assert told["errorMessage"].startswith("What was made was blocked by moderation (violence)")
    (job,) = running.jobs(prompt, name)
    assert running.objects(f"quarantine/{name}/") == [f"quarantine/{name}/{job}/1/0.png"]
    assert running.objects(f"images/{name}/") == [f"images/{name}/{job}/1/answer.json"]
    assert running.paid(prompt) == 1
    assert balanced(running, name) > 0


def test_a_blocked_output_is_charged_and_nowhere_to_be_read(running):
    name, key = running.new_tenant(**JUDGED)
    client = running.openai(api_key=key)
    prompt = unique("a magenta fox")
    error = blocked(client.images.generate, "output", prompt=prompt, quality="low")
    assert "It is charged, and not delivered" in error.message
    (job,) = running.jobs(prompt, name)
    (charge,) = running.charges(job, name)
    assert charge["amount"] == balanced(running, name) > 0
    assert not charge["estimated"]
    assert running.paid(prompt) == 1

    kept = f"quarantine/{name}/{job}/1/0.png"
    assert running.objects(f"quarantine/{name}/") == [kept]
    assert decoded(running.object(kept)).size == (1024, 1024)
    assert running.objects(f"images/{name}/") == [f"images/{name}/{job}/1/answer.json"]
    assert running.objects(f"outbox/{name}/") == running.objects(f"answers/{name}/") == []
    with running.http(key) as http:
        shown = http.get(f"/jobs/{job}").json()
        assert (shown["status"], shown["data"]) == ("failed", [])
        assert shown["error"]["moderation_details"]["categories"] == ["violence"]
        assert http.get("/jobs").json()["data"][0]["data"] == []
        for ask in "", "?response_format=b64_json", "?stream=true":
            answer = http.get(f"/jobs/{job}/result{ask}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (
                400,
                "moderation_blocked",
            )
    body = {"prompt": prompt, "images": [{"file_id": f"{job}/0"}]}
    with pytest.raises(openai.BadRequestError, match="has 0 images"):
        client.post("/images/edits", body=body, cast_to=object)
    again = {"x-stainless-retry-count": "1"}
    blocked(client.images.generate, "output", prompt=prompt, quality="low", extra_headers=again)
    assert running.paid(prompt) == 1


def test_a_blocked_answer_of_the_inbox_has_no_picture(running):
    name, _ = running.new_tenant(**JUDGED)
    document = answered(running, name, unique("a magenta hat"), png(640, 480))
    assert (document["images"], document["error"]["code"]) == ([], "moderation_blocked")
    assert document["cost_usd"] > 0
    assert balanced(running, name) > 0
