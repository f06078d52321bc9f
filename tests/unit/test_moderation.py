"""What is judged, how often it is asked, and what follows where nobody answers."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pytest
from PIL import Image as Picture

from easel.catalogue import Catalogue
from easel.errors import (
    EaselError,
    InvalidRequest,
    ModerationBlocked,
    ModerationUnavailable,
    UpstreamBusy,
    UpstreamFailure,
    UpstreamMisconfigured,
    UpstreamRefused,
    UpstreamUnknown,
)
from easel.jobs import Job
from easel.moderation import Moderator
from easel.settings import Settings
from tests.unit.examples import NOW, image, job, picture, request

Answer = tuple[str, ...] | UpstreamFailure | None


@dataclass
class World:
    """An upstream that answers as it is told, and a clock that only moves by what is done."""

    answers: list[Answer] = field(default_factory=list)
    """What comes, one after the other; then everything passes."""
    seconds: float = 0
    """How long an answer takes; a time-out comes sooner."""
    now: float = NOW
    asked: list[str | bytes] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def moderate(self, given: str | bytes, *, timeout: float) -> tuple[str, ...] | None:
        self.asked.append(given)
        self.timeouts.append(timeout)
        self.now += min(self.seconds, timeout)
        answer = self.answers.pop(0) if self.answers else None
        if self.seconds > timeout:
            answer = UpstreamUnknown("The wait ran out.")
        if isinstance(answer, UpstreamFailure):
            raise answer
        return answer

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def moderator(self, **settings: Any) -> Moderator:
        def upstream() -> Any:
            return self

        known = Settings(**settings), Catalogue.load()
        return Moderator(*known, upstream, lambda: self.now, self.sleep)


@pytest.fixture
def world() -> World:
    return World()


BUSY = UpstreamBusy("Not now.", status=429, code="rate_limit_exceeded", retry_after=0.5)


def edit(count: int = 1, **changes: Any) -> Job:
    images = tuple(image(f"inputs/demo/{number}") for number in range(count))
    return job(request=request(operation="edit", images=images, **changes))


def files(*names: str) -> dict[str, BytesIO]:
    return {f"inputs/demo/{name}": BytesIO(picture(kind="png")) for name in names}


@pytest.mark.parametrize(
    ("tenants", "deployments", "asked"),
    [
        (None, "off", 0),
        (None, "prompt", 2),
        (None, "prompt+output", 2),
        ("off", "prompt+output", 0),
        ("prompt", "off", 2),
        ("prompt+output", "off", 2),
    ],
)
def test_the_tenants_policy_stands_in_place_of_the_deployments(
    world: World, tenants: Any, deployments: str, asked: int
) -> None:
    moderator = world.moderator(moderation_policy=deployments)
    one = edit().model_copy(update={"moderation": tenants})
    assert moderator.policy(one) == (tenants or deployments)
    assert moderator.admit(one, files("0")).moderated == (asked > 0)
    assert len(world.asked) == asked


def test_the_prompt_comes_first_then_every_image_but_the_mask(world: World) -> None:
    given = edit(2, mask=image("inputs/demo/mask"), markup=image("inputs/demo/markup"))
    inputs = files("0", "1", "markup")
    world.moderator().admit(given, inputs)
    prompt, *images = world.asked
    assert prompt == "a cat"
    assert [type(one) for one in images] == [bytes, bytes, bytes]
    assert all(Picture.open(BytesIO(one)).format == "JPEG" for one in images)  # type: ignore[arg-type]  # bytes


def test_what_was_judged_once_is_not_asked_about_again(world: World) -> None:
    moderator = world.moderator()
    judged = moderator.admit(edit(), files("0"))
    assert moderator.admit(judged, {}) == judged
    assert len(world.asked) == 2


@pytest.mark.parametrize(
    ("answers", "param", "asked"),
    [([("violence", "sexual")], "prompt", 1), ([None, ("violence", "sexual")], "image", 2)],
    ids=["prompt", "input image"],
)
def test_a_block_says_where_and_why(
    world: World, answers: list[Answer], param: str, asked: int
) -> None:
    world.answers = answers
    with pytest.raises(ModerationBlocked) as blocked:
        world.moderator().admit(edit(), files("0"))
    assert len(world.asked) == asked
    error = blocked.value
    assert (error.status, error.headers()) == (400, {"x-should-retry": "false"})
    body = error.body()["error"]
    assert body.pop("message").endswith(
        "(violence, sexual); nothing was bought. Rephrase it."
        if param == "prompt"
        else "(violence, sexual); nothing was bought."
    )
    assert body == {
        "type": "image_generation_user_error",
        "param": param,
        "code": "moderation_blocked",
        "moderation_details": {
            "moderation_stage": "input",
            "categories": ["violence", "sexual"],
        },
    }
    again = EaselError.from_record(json.loads(json.dumps(error.record())))
    assert again.body() == error.body()


def test_only_what_is_named_as_categories_are_is_said(world: World) -> None:
    world.answers = [("A Cat", "self-harm/intent", "a cat", "\ud800")]
    with pytest.raises(ModerationBlocked, match=r"\(self-harm/intent\)") as blocked:
        world.moderator().admit(job(), {})
    assert blocked.value.body()["error"]["moderation_details"]["categories"] == ["self-harm/intent"]
    world.answers = [("A Cat",)]
    with pytest.raises(ModerationBlocked, match=r"\(harmful\)"):
        world.moderator().admit(job(), {})


def test_a_block_without_a_category_is_one(world: World) -> None:
    world.answers = [()]
    with pytest.raises(ModerationBlocked, match="harmful"):
        world.moderator().admit(edit(), files("0"))


@pytest.mark.parametrize("blocked", [0, 1, 2])
def test_outputs_are_judged_until_one_is_blocked(world: World, blocked: int) -> None:
    world.answers = [None] * blocked + [("violence",)]
    taken = []

    def outputs() -> Iterator[bytes]:
        for number in range(3):
            taken.append(number)
            yield picture()

    with pytest.raises(ModerationBlocked, match="It is charged, and not delivered") as error:
        world.moderator().release(job(), outputs())
    assert len(world.asked) == len(taken) == blocked + 1
    details = error.value.moderation_details
    assert details
    assert details["moderation_stage"] == "output"


def test_every_frame_of_a_gif_is_judged(world: World) -> None:
    frames = [Picture.new("RGB", (64, 64), colour) for colour in ("red", "green", "blue")]
    gif = BytesIO()
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:], duration=100)
    world.moderator().release(job(), [gif.getvalue()])
    shown = [Picture.open(BytesIO(one)).getpixel((9, 9)) for one in world.asked]  # type: ignore[arg-type]  # bytes
    brightest = [max(range(3), key=pixel.__getitem__) for pixel in shown]  # type: ignore[union-attr]  # RGB
    assert brightest == [0, 1, 2]


def test_what_can_never_be_judged_is_not_bought(world: World) -> None:
    svg = job(request=request(parameters={"output_format": "svg"}))
    with pytest.raises(InvalidRequest) as refused:
        world.moderator(moderation_policy="prompt+output").admit(svg, {})
    assert refused.value.param == "output_format"
    assert world.moderator().admit(svg, {}).moderated


FAILURES = {
    "a limit": [BUSY] * 3,
    "a long limit": [UpstreamBusy("Not now.", status=429, retry_after=60)],
    "a lost line": [UpstreamUnknown("Lost.")] * 3,
    "no such route": [UpstreamRefused("Invalid URL", status=404)],
    "no key": [UpstreamMisconfigured("No key.")],
}


@pytest.mark.parametrize("answers", FAILURES.values(), ids=list(FAILURES))
@pytest.mark.parametrize("stage", ["prompt", "input image", "output"])
@pytest.mark.parametrize("failure", ["open", "closed"])
def test_what_nobody_judges_goes_on_or_does_not(
    world: World,
    log: io.StringIO,
    capsys: pytest.CaptureFixture[str],
    answers: list[Answer],
    stage: str,
    failure: str,
) -> None:
    times = 2 if failure == "open" else 1  # in a row, and then nobody is asked any more
    world.answers = [*([None] if stage == "input image" else []), *answers * times]
    moderator = world.moderator(moderation_failure=failure)
    one = edit(3)

    def act() -> Job | None:
        if stage == "output":
            return moderator.release(one, [picture()] * 3)
        return moderator.admit(one, files("0", "1", "2"))

    if failure == "open":
        assert act() in (None, one), "it is not noted as judged"
    else:
        with pytest.raises(ModerationUnavailable) as unavailable:
            act()
        assert unavailable.value.status == 503
        assert unavailable.value.headers() == {"x-should-retry": "true", "retry-after": "5"}
    assert len(world.asked) == len(answers) * times + (stage == "input image")
    said = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [(line["message"], line["job"]) for line in said] == [
        ("moderation failed", one.id)
    ] * times
    assert said[0]["stage"] == stage
    counted = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    failures = [one["ModerationFailures"] for one in counted if "ModerationFailures" in one]
    assert failures == [[1]] * times
    closed = [one["UpstreamClosed"] for one in counted if "UpstreamClosed" in one]
    assert closed == ([[1]] * times if isinstance(answers[-1], UpstreamMisconfigured) else [])
    assert "a cat" not in log.getvalue()


UNSEEN = UpstreamRefused("No image at all.", status=400)


@pytest.mark.parametrize("place", range(3))
def test_what_cannot_be_judged_exempts_nothing_else(world: World, place: int) -> None:
    world.answers = [UNSEEN] * place + [("violence",)]
    with pytest.raises(ModerationBlocked):
        world.moderator().admit(edit(2), files("0", "1"))


@pytest.mark.parametrize("place", range(4))
def test_nor_does_one_of_its_frames(world: World, place: int) -> None:
    frames = [Picture.new("RGB", (64, 64), colour) for colour in ("red", "green", "blue")]
    gif = BytesIO()
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:], duration=100)
    world.answers = [UNSEEN] * place + [("violence",)]
    with pytest.raises(ModerationBlocked):
        world.moderator().release(job(), [b"no image", gif.getvalue(), picture()])


def test_what_the_catalogue_does_not_know_is_judged_beside_the_prompt(world: World) -> None:
    parameters = {"size": "1024x1024", "negative": ["no dog", {"but": "a hat"}], "n": 1}
    world.moderator().admit(job(request=request(parameters=parameters)), {})
    prompt, beside = world.asked
    assert prompt == "a cat"
    assert isinstance(beside, str)
    assert set(beside.splitlines()) == {"no dog", "but", "a hat"}


def test_however_much_comes_beside_it_the_prompt_is_judged_alone(world: World) -> None:
    padded = job(request=request(parameters={"pad": "x " * 100_000}))
    world.answers = [("violence",)]
    with pytest.raises(ModerationBlocked):
        world.moderator().admit(padded, {})
    world.asked.clear()
    world.moderator().admit(padded, {})
    assert world.asked[0] == "a cat"
    assert all(len(text) <= 32_000 for text in world.asked)
    assert "".join(map(str, world.asked[1:])) == "\n".join(["x " * 100_000])


def test_what_cannot_be_judged_itself_is_asked_about_once(world: World) -> None:
    world.answers = [None, UNSEEN]
    moderator = world.moderator()
    judged = moderator.admit(edit(2), files("0", "1"))
    assert moderator.admit(judged, files("0", "1")) == judged
    assert len(world.asked) == 3


@pytest.mark.parametrize("place", range(3))
def test_one_that_nobody_answers_for_spares_no_other(world: World, place: int) -> None:
    lost: list[Answer] = [UpstreamUnknown("Lost.")] * 3
    world.answers = [*[None] * place, *lost, ("violence",)]
    with pytest.raises(ModerationBlocked):
        world.moderator().admit(edit(3), files("0", "1", "2"))


def test_whoever_fails_closed_asks_no_further(world: World) -> None:
    world.answers = [None, UNSEEN]
    with pytest.raises(ModerationUnavailable):
        world.moderator(moderation_failure="closed").admit(edit(2), files("0", "1"))
    assert len(world.asked) == 2


def test_a_few_tries_are_made_as_far_apart_as_is_asked(world: World) -> None:
    world.answers = [BUSY, UpstreamUnknown("Lost.")]
    assert world.moderator(moderation_failure="closed").admit(edit(0), {}).moderated
    assert world.pauses[0] == 0.5
    assert len(world.pauses) == 2


def test_a_call_that_hangs_is_waited_for_within_bounds(world: World) -> None:
    world.seconds = 3600
    with pytest.raises(ModerationUnavailable):
        world.moderator(moderation_failure="closed").admit(edit(0), {})
    assert world.now - NOW <= 20
    assert world.timeouts[0] == 10
    assert all(timeout <= 10 for timeout in world.timeouts)


def test_an_output_that_cannot_be_read_was_not_judged(world: World) -> None:
    with pytest.raises(ModerationUnavailable, match="It is charged, and not delivered"):
        world.moderator(moderation_failure="closed").release(job(), [b"no image"])
    world.moderator().release(job(), [b"no image"])
    assert world.asked == []
