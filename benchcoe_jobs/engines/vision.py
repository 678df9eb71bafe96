"""Requests with images, as the processor of a model turns them into inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchcoe_jobs.domain import Decoding, Request
from benchcoe_jobs.engines.errors import ContextTooLongError, EngineError, first_line
from benchcoe_jobs.engines.images import open_image
from benchcoe_jobs.engines.prompts import Prompter, clean, shortened

Conversation = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class VisionPrompt:
    """A request with its images opened, as one user message; `ids` are its tokens, images included."""

    conversation: Conversation
    ids: tuple[int, ...]
    shots_used: int
    max_new_tokens: int


class VisionProcessor:
    """Builds the inputs of one model that sees."""

    def __init__(self, processor: Any, prompter: Prompter) -> None:
        self._processor = processor
        self._prompter = prompter
        processor.tokenizer.padding_side = "left"
        if processor.tokenizer.pad_token is None:
            processor.tokenizer.pad_token = processor.tokenizer.eos_token

    def prepare(self, request: Request, decoding: Decoding) -> VisionPrompt:
        """Open the images, put them before the text, and drop examples until it fits, as `Prompter.prompts` does.

        How many tokens an image takes only the processor knows, so it is asked for every request by
        itself, and once more for the batch. Raises EngineError, ContextTooLongError.
        """
        images = [{"type": "image", "image": open_image(image)} for image in request.images]
        before = [{"role": role, "content": [{"type": "text", "text": clean(said)}]} for role, said in request.turns]
        for narrowed in shortened(decoding):
            for n_shots in range(len(request.shots), -1, -1):
                text = {"type": "text", "text": clean(request.prompt(n_shots))}
                conversation: Conversation = [*before, {"role": "user", "content": [*images, text]}]
                ids = tuple(self.inputs([conversation])["input_ids"][0].tolist())
                if self._prompter.fits(len(ids) + narrowed.max_new_tokens):
                    return VisionPrompt(conversation, ids, n_shots, narrowed.max_new_tokens)
        raise ContextTooLongError(
            f"context too long: {len(ids)} prompt tokens, images included, and {narrowed.max_new_tokens} new "
            "do not fit, even without few-shot examples"
        )

    def inputs(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """Left-padded tensors for n conversations. Raises EngineError where the processor refuses them."""
        try:
            return dict(
                self._processor.apply_chat_template(
                    list(conversations),
                    add_generation_prompt=True,
                    tokenize=True,
                    return_dict=True,
                    # A chat template writes the special tokens itself.
                    processor_kwargs={"padding": True, "return_tensors": "pt", "add_special_tokens": False},
                )
            )
        except Exception as error:  # processors raise what they like
            raise EngineError(f"the image processor refuses the request: {first_line(error)}") from error
