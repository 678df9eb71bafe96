"""Turn requests with images into inputs with the processor of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchcoe_jobs.domain import Decoding, Request
from benchcoe_jobs.engines.errors import ContextTooLongError, EngineError, first_line
from benchcoe_jobs.engines.images import open_image
from benchcoe_jobs.engines.messages import processor_messages
from benchcoe_jobs.engines.prompts import Prompter, request_seed, shortened

Conversation = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class VisionPrompt:
    """A request as a conversation with decoded images; `ids` are its tokens, including those of the images."""

    conversation: Conversation
    ids: tuple[int, ...]
    shots_used: int
    max_new_tokens: int
    seed: int


class VisionProcessor:
    """Builds the inputs of one model that takes images."""

    def __init__(self, processor: Any, prompter: Prompter) -> None:
        self._processor = processor
        self._prompter = prompter
        processor.tokenizer.padding_side = "left"
        if processor.tokenizer.pad_token is None:
            processor.tokenizer.pad_token = processor.tokenizer.eos_token

    def prepare(self, request: Request, decoding: Decoding) -> VisionPrompt:
        """Decode the images, and drop few-shot examples until the request fits (`Prompter.prompts`).

        Only the processor knows the number of tokens of an image, so it is called for each request alone, and again
        for the batch. Raises EngineError, ContextTooLongError.
        """
        opened = [open_image(image) for image in request.image_files]
        for narrowed in shortened(decoding):
            for n_shots in range(len(request.shots), -1, -1):
                conversation = processor_messages(request, n_shots, opened)
                ids = tuple(self.inputs([conversation])["input_ids"][0].tolist())
                n_new = self._prompter.room(len(ids), n_shots, narrowed.max_new_tokens)
                if n_new is not None:
                    return VisionPrompt(conversation, ids, n_shots, n_new, request_seed(request, decoding, ids))
        raise ContextTooLongError(
            f"context too long: {len(ids)} prompt tokens, images included, and {narrowed.max_new_tokens or 1} new "
            "do not fit, even without few-shot examples"
        )

    def inputs(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """Left-padded tensors for n conversations. Raises EngineError if the processor refuses them."""
        try:
            return dict(
                self._processor.apply_chat_template(
                    list(conversations),
                    add_generation_prompt=True,
                    tokenize=True,
                    return_dict=True,
                    # A chat template includes the special tokens.
                    processor_kwargs={"padding": True, "return_tensors": "pt", "add_special_tokens": False},
                )
            )
        except Exception as error:  # processors raise many types
            raise EngineError(f"the image processor refuses the request: {first_line(error)}") from error
