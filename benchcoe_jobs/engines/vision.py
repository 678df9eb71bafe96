"""Turn requests with images into inputs with the processor of a model.

An open picture is large: 18 MB for 6 megapixels, and what a processor makes of it may be eight times as large. Only the
pictures of one batch are open, and a batch has a limit of pixels and of bytes. Each picture is opened and processed
once, unless its batch fails or few-shot examples must be dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from torch import Tensor

from benchcoe_jobs.domain import Completion, Decoding, Request
from benchcoe_jobs.engines.errors import (
    ContextTooLongError,
    EngineError,
    OutOfMemoryError,
    engine_error,
)
from benchcoe_jobs.engines.image_probe import image_versions, try_a_picture
from benchcoe_jobs.engines.messages import processor_messages
from benchcoe_jobs.engines.prompts import Prompter, failure, prepare, request_seed, shortened
from benchcoe_jobs.masking import first_line
from benchcoe_jobs.picture_opener import n_pixels, open_image

# Of the pictures of a batch: 96 MB once they are open, and as much again while they are resized.
_OPEN_PIXELS = 32_000_000

# Of what the processor makes of a batch.
_INPUT_BYTES = 256 << 20

# The first guess: Qwen-VL makes two frames of three float32 of each pixel.
_MOST_BYTES_PER_PIXEL = 24.0


@dataclass(frozen=True, slots=True)
class VisionPrompt:
    """The tokens of a request, including those of its images; the rest as in `Prompt`."""

    ids: tuple[int, ...]
    shots_used: int
    max_new_tokens: int
    seed: int


@dataclass(frozen=True, slots=True)
class VisionBatch:
    """Prompts by the positions of their requests; their inputs, left-padded tensors with a row for each in order."""

    prompts: dict[int, VisionPrompt]
    inputs: dict[str, Tensor]


_Opened = tuple[Request, list[Any]]
"""A request with its images as pixels."""


class VisionProcessor:
    """Builds the inputs of one model that takes images.

    Raises ModelNotFoundError if the processor fails at a picture, or if the chat template has no place for one.
    """

    def __init__(self, processor: Any, prompter: Prompter) -> None:
        self._processor = processor
        self._prompter = prompter
        self._bytes_per_pixel = _MOST_BYTES_PER_PIXEL
        processor.tokenizer.padding_side = "left"
        if processor.tokenizer.pad_token is None:
            processor.tokenizer.pad_token = processor.tokenizer.eos_token
        try_a_picture(self._n_tokens)

    @property
    def versions(self) -> dict[str, str]:
        """See `image_versions`."""
        return image_versions(self._processor)

    def pixels(self, request: Request) -> int:
        """The number of pixels of all images of a request. Raises as `picture_opener.open_image` does."""
        return sum(map(n_pixels, request.image_files))

    def most(self, pixels: Sequence[int]) -> int:
        """The number of first requests that can be open together, at least one; `pixels` are those of each request."""
        budget = min(_OPEN_PIXELS, _INPUT_BYTES / self._bytes_per_pixel)
        return max(1, sum(total <= budget for total in accumulate(pixels)))

    def prepare(
        self, requests: Mapping[int, Request], decoding: Decoding
    ) -> tuple[list[VisionBatch], dict[int, Completion]]:
        """The batches of requests whose images are open together, and completions of those that cannot be asked.

        The requests are one batch, but for those that few-shot examples are dropped from until they fit
        (`Prompter.prompts`). Raises OutOfMemoryError.
        """
        opened, failures = prepare(requests, lambda one: (one, [open_image(image) for image in one.image_files]))
        batches, others = self._batches(opened, decoding) if opened else ([], {})
        return batches, failures | others

    def _batches(
        self, opened: Mapping[int, _Opened], decoding: Decoding
    ) -> tuple[list[VisionBatch], dict[int, Completion]]:
        try:
            inputs = self._inputs([(request, len(request.shots), images) for request, images in opened.values()])
        except OutOfMemoryError:
            raise
        except EngineError as error:
            if len(opened) == 1:
                return [], dict.fromkeys(opened, failure(error))
            return self._apart([{index: one} for index, one in opened.items()], decoding)
        self._note_size(inputs, opened)
        prompts = {
            index: self._with_all_shots(request, ids, decoding)
            for (index, (request, _)), ids in zip(opened.items(), _rows(inputs), strict=True)
        }
        fitting = {index: prompt for index, prompt in prompts.items() if prompt is not None}
        if len(fitting) == len(opened):
            return [VisionBatch(fitting, inputs)], {}
        if len(opened) == 1:
            [index] = opened
            batches, failures = prepare(opened, lambda one: self._with_fewer_shots(index, *one, decoding))
            return list(batches.values()), failures
        alone = [{index: one} for index, one in opened.items() if index not in fitting]
        together = {index: opened[index] for index in fitting}
        return self._apart([together, *alone] if together else alone, decoding)

    def _apart(
        self, groups: Sequence[Mapping[int, _Opened]], decoding: Decoding
    ) -> tuple[list[VisionBatch], dict[int, Completion]]:
        results = [self._batches(group, decoding) for group in groups]
        failures = {index: one for _, failed in results for index, one in failed.items()}
        return [batch for batches, _ in results for batch in batches], failures

    def _with_all_shots(self, request: Request, ids: tuple[int, ...], decoding: Decoding) -> VisionPrompt | None:
        """The prompt, or None if it does not fit: examples are dropped before the limit of the answer is halved."""
        limits = [decoding] if request.shots else shortened(decoding)
        found = (self._prompt(request, len(request.shots), ids, limit) for limit in limits)
        return next(filter(None, found), None)

    def _with_fewer_shots(self, index: int, request: Request, images: list[Any], decoding: Decoding) -> VisionBatch:
        """A batch of one request. Raises ContextTooLongError."""
        inputs: dict[int, dict[str, Tensor]] = {}
        for narrowed in shortened(decoding):
            for n_shots in range(len(request.shots), -1, -1):
                if n_shots not in inputs:
                    inputs[n_shots] = self._inputs([(request, n_shots, images)])
                [ids] = _rows(inputs[n_shots])
                if (prompt := self._prompt(request, n_shots, ids, narrowed)) is not None:
                    return VisionBatch({index: prompt}, inputs[n_shots])
        raise ContextTooLongError(
            f"context too long: {len(ids)} prompt tokens, images included, and {narrowed.max_new_tokens or 1} new "
            "do not fit, even without few-shot examples"
        )

    def _prompt(self, request: Request, n_shots: int, ids: tuple[int, ...], decoding: Decoding) -> VisionPrompt | None:
        n_new = self._prompter.room(len(ids), n_shots, decoding.max_new_tokens)
        return None if n_new is None else VisionPrompt(ids, n_shots, n_new, request_seed(request, decoding, ids))

    def _inputs(self, some: Sequence[tuple[Request, int, list[Any]]]) -> dict[str, Tensor]:
        """Left-padded tensors for n (request, number of few-shot examples, open images).

        Raises EngineError if the processor refuses them, OutOfMemoryError.
        """
        conversations = [processor_messages(request, n_shots, images) for request, n_shots, images in some]
        try:
            made = self._processor.apply_chat_template(
                conversations,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                # A chat template includes the special tokens.
                processor_kwargs={"padding": True, "add_special_tokens": False},
            )
        except Exception as error:  # processors raise many types
            if isinstance(known := engine_error(error), OutOfMemoryError):
                raise known from error
            raise EngineError(f"the image processor refuses the request: {first_line(error)}") from error
        return {name: value for name, value in made.items() if isinstance(value, Tensor)}

    def _note_size(self, inputs: Mapping[str, Tensor], opened: Mapping[int, _Opened]) -> None:
        """Measure what the processor makes of a pixel, for the size of the next batch."""
        n = sum(image.width * image.height for _, images in opened.values() for image in images)
        self._bytes_per_pixel = sum(tensor.nbytes for tensor in inputs.values()) / n

    def _n_tokens(self, request: Request) -> int:
        """The length of a prompt. Raises EngineError as `_inputs` does."""
        [ids] = _rows(self._inputs([(request, 0, [open_image(one) for one in request.images])]))
        return len(ids)


def _rows(inputs: Mapping[str, Tensor]) -> list[tuple[int, ...]]:
    """The token ids of each row without the padding."""
    pairs = zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
    return [tuple(ids[mask.bool()].tolist()) for ids, mask in pairs]
