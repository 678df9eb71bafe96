"""Requests with pictures in batches: the limits of a batch, and what fails for one of its requests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch

from benchcoe_jobs.domain import Decoding, Request
from benchcoe_jobs.engines.errors import ModelNotFoundError
from benchcoe_jobs.engines.prompts import Prompter
from benchcoe_jobs.engines.vision import VisionProcessor

MEGAPIXEL = 1_000_000
PICTURE = tiny.picture(9)


class Processor:
    """A token for each character and 5 for a picture, and 4 bytes for each pixel. It fails at the text "odd"."""

    def __init__(self) -> None:
        self.tokenizer = SimpleNamespace(pad_token="x", padding_side="right")  # noqa: S106  (a token of text)
        self.image_processor = self
        self.calls: list[int] = []

    def apply_chat_template(self, conversations: list[Any], **_: Any) -> dict[str, Any]:
        self.calls.append(len(conversations))
        lengths, pixels = [], 0
        for [message] in conversations:
            texts = [part["text"] for part in message["content"] if part["type"] == "text"]
            if "odd" in texts:
                raise KeyError("no such token")
            pictures = [part["image"] for part in message["content"] if part["type"] == "image"]
            pixels += sum(one.width * one.height for one in pictures)
            lengths.append(sum(map(len, texts)) + 5 * len(pictures))
        mask = torch.tensor([[0] * (max(lengths) - n) + [1] * n for n in lengths])
        return {"input_ids": mask, "attention_mask": mask, "pixels": torch.zeros(pixels)}


@pytest.fixture
def processor() -> Processor:
    return Processor()


@pytest.fixture
def vision(processor: Processor) -> VisionProcessor:
    made = VisionProcessor(processor, Prompter(None, 40))
    processor.calls.clear()
    return made


def prepared(
    vision: VisionProcessor, *requests: Request, limit: int = 8
) -> tuple[list[dict[int, Any]], dict[int, str]]:
    batches, failures = vision.prepare(dict(enumerate(requests)), Decoding(limit))
    return [batch.prompts for batch in batches], {index: str(one.error) for index, one in failures.items()}


def look(text: str = "Look", **others: Any) -> Request:
    return Request(text, images=(PICTURE,), **others)


def test_the_pictures_of_a_batch_are_processed_once(vision: VisionProcessor, processor: Processor) -> None:
    [prompts], failures = prepared(vision, look(), look("Look again"), look())
    assert [len(one.ids) for one in prompts.values()] == [9, 15, 9]
    assert processor.calls == [3]
    assert not failures


@pytest.mark.parametrize("exception", [KeyError, ZeroDivisionError])
def test_any_exception_about_one_picture_is_the_error_of_its_request(
    exception: type[Exception], vision: VisionProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, failures = prepared(vision, look(), look("odd"), look())
    assert sorted(index for prompts in batches for index in prompts) == [0, 2]
    assert failures == {1: "the image processor refuses the request: 'no such token'"}

    def fails(_: bytes) -> None:
        raise exception("odd")

    monkeypatch.setattr("benchcoe_jobs.engines.vision.open_image", fails)
    assert prepared(vision, look(), look()) == ([], dict.fromkeys((0, 1), f"{exception.__name__}: {exception('odd')}"))


def test_requests_that_do_not_fit_leave_the_others_together(vision: VisionProcessor) -> None:
    batches, failures = prepared(vision, look(), look("~" * 50), look(shots=("~" * 10, "~" * 10, "~" * 10)), look())
    assert [list(prompts) for prompts in batches] == [[0, 3], [2]]
    assert batches[1][2].shots_used == 2
    assert list(failures) == [1]
    assert "55 prompt tokens, images included" in failures[1]


def test_a_limit_that_does_not_fit_is_halved_for_its_request_alone(
    vision: VisionProcessor, processor: Processor
) -> None:
    [prompts], _ = prepared(vision, look(), look("~" * 20), limit=24)
    assert [one.max_new_tokens for one in prompts.values()] == [24, 12]
    assert processor.calls == [2]


def test_a_batch_is_limited_by_pixels_and_by_what_becomes_of_them(vision: VisionProcessor) -> None:
    assert vision.most([6 * MEGAPIXEL] * 64) == 1, "before the first picture: 24 bytes for each pixel"
    prepared(vision, look())
    assert vision.most([6 * MEGAPIXEL] * 64) == 5, "32 megapixels"
    assert vision.most([500_000] * 64) == 64
    assert vision.most([49 * MEGAPIXEL, 1]) == 1


def test_a_template_without_a_place_for_a_picture_ends_the_load(processor: Processor) -> None:
    template = processor.apply_chat_template

    def without(conversations: list[Any], **others: Any) -> dict[str, Any]:
        texts = [[{**one, "content": [p for p in one["content"] if p["type"] == "text"]} for one in conversations[0]]]
        return template(texts, **others)

    processor.apply_chat_template = without  # type: ignore[method-assign]
    with pytest.raises(ModelNotFoundError, match="no place for an image"):
        VisionProcessor(processor, Prompter(None, 40))


def test_pixels_are_counted_before_a_picture_is_opened(vision: VisionProcessor) -> None:
    assert vision.pixels(Request("x", images=(PICTURE, PICTURE))) == 2 * 40 * 30
