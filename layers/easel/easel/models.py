"""A model: what it takes, what it renders, and what a call can and does cost. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from easel.parameters import Combination, Operation, Parameter
from easel.prices import (
    PARTIAL_IMAGE_TOKENS,
    PROMPT_OVERHEAD_TOKENS,
    Authoring,
    OutputTokens,
    Prices,
    microdollars,
)
from easel.sizes import Size, Sizes, pixels


@dataclass(frozen=True, slots=True)
class Model:
    """One model that can be called."""

    id: str
    parameters: Mapping[str, Parameter]
    """All parameters the catalogue knows, whether this model takes them or not."""
    combinations: Sequence[Combination]
    sizes: Sizes
    tokens: OutputTokens
    prices: Prices
    authoring: Authoring | None
    input_image_tokens: int
    output_text_tokens: int
    default_size: str = "auto"
    """The size of a call that names none; a retired model's own, where this one stands for it."""
    dropped: frozenset[str] = frozenset()
    """Parameters of a retired model that this one stands for and that it does not take itself."""

    def check(self, operation: Operation, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters given (None is omitted), legacy values translated.

        Names the catalogue does not know are returned untouched, ``dropped`` ones left out; of
        ``mask`` and ``markup`` only the presence counts. Raises InvalidRequest whose ``param``
        names the wrong one and whose message says what would be right: ``unknown_parameter``
        where the model or the operation does not take it, else ``invalid_value``.
        """
        given = {
            name: value
            for name, value in parameters.items()
            if value is not None and name not in self.dropped
        }
        for name, value in given.items():
            if name in self.parameters:
                given[name] = self.parameters[name].check(value, self.id, operation)
        if "size" in given:
            self.fit(given["size"])
        for combination in self.combinations:
            combination.check(given, self.parameters)
        return given

    def fit(self, size: str) -> tuple[str, Size | None]:
        """Return the size to render, and the exact one to resample to if that is another.

        Raises InvalidRequest(param="size") for what is no size, or beyond the model.
        """
        return self.sizes.fit(size)

    def output_tokens(self, quality: str, width: int, height: int) -> int:
        """Return the tokens of one output image; an unknown quality counts as the dearest."""
        return self.tokens.of(quality, (width, height))

    def image_price(self, quality: str, width: int, height: int) -> int:
        """Return what one image costs without its inputs, in micro-dollars."""
        return microdollars(self.output_tokens(quality, width, height) * self.prices.image_out)

    def ceiling(
        self,
        operation: Operation,
        parameters: Mapping[str, Any],
        prompt: str,
        input_images: int,
    ) -> int:
        """Return the most a call can cost, in micro-dollars.

        ``parameters`` are the checked ones, ``size`` the one to render; ``input_images`` counts
        mask and markup too. A size or quality that is omitted or ``auto`` counts as the model's
        dearest, and so do both beside a parameter of unknown price. A text has at most as many
        tokens as UTF-8 bytes. Every one of n images bills the input again. A GIF's price is
        unpublished: each frame is held as an image of its own, and the charge settles it.
        """
        text = len(prompt.encode(errors="surrogatepass")) + PROMPT_OVERHEAD_TOKENS
        cost = (
            text * self.prices.text_in
            + input_images * self.input_image_tokens * self.prices.image_in
            + self._image_at_most(operation, parameters) * self.prices.image_out
            + self.output_text_tokens * self.prices.text_out
        )
        if self._value(parameters, "output_format") == "svg" and self.authoring:
            cost += self.authoring.at_most()
        return microdollars(self._value(parameters, "n") * cost)

    def charge(self, usage: Mapping[str, Any], svg_usage: Mapping[str, Any] | None = None) -> int:
        """Return what OpenAI's usage objects cost, in micro-dollars, rounded up once.

        Raises ValueError where usage lacks its totals: such an answer is charged at its hold.
        """
        cost = self.prices.charge(usage)
        if svg_usage and self.authoring:
            cost += self.authoring.charge(svg_usage)
        return microdollars(cost)

    def _image_at_most(self, operation: Operation, parameters: Mapping[str, Any]) -> int:
        quality = size = "auto"
        if all(self._priced(operation, name) for name in parameters):
            quality, size = self._value(parameters, "quality"), self._value(parameters, "size")
        rendered = self.fit(size)[0]
        extent = None if rendered == "auto" else pixels(rendered)
        gif = self._value(parameters, "output_format") == "gif"
        frames = self._value(parameters, "frame_count") if gif else 1
        partials = self._value(parameters, "partial_images") * PARTIAL_IMAGE_TOKENS
        return int(frames * self.tokens.at_most(quality, extent) + partials)

    def _priced(self, operation: Operation, name: str) -> bool:
        parameter = self.parameters.get(name)
        return parameter is not None and parameter.priced(operation)

    def _value(self, parameters: Mapping[str, Any], name: str) -> Any:
        value = parameters.get(name)
        return self.parameters[name].default if value is None else value
