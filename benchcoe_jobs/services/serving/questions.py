"""What a router reads of a request: the text of the last message of the user and the pictures of all, or the prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.picture import Picture
from benchcoe_jobs.picture_files import sent_picture
from benchcoe_jobs.services.serving.errors import ApiError

CHAT, PLAIN = "/v1/chat/completions", "/v1/completions"


def question_of(body: Mapping[str, Any]) -> RouterInput:
    """The input of a router from a body with `messages`, a `prompt`, or a `question` with `choices`.

    Raises ApiError (400) if there is none, or if it is something that a router cannot read.
    """
    if "messages" in body:
        return _conversation(body["messages"])
    if "prompt" in body:
        return RouterInput(single_prompt(body["prompt"]))
    question, choices = body.get("question"), body.get("choices") or []
    if not isinstance(question, str) or not _are_texts(choices):
        raise ApiError(400, "the request has neither messages nor a prompt nor a question with a list of choices")
    return RouterInput(question, tuple(choices))


def single_prompt(prompt: Any) -> str:
    """The text of a `prompt`. Raises ApiError (400) for token ids and for several prompts."""
    if isinstance(prompt, list) and len(prompt) == 1:
        [prompt] = prompt
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list) and prompt and _are_texts(prompt):
        raise ApiError(
            400,
            f"the request has {len(prompt)} prompts, and a routed name takes one: each may belong to another expert. "
            "Send them one by one (lm-eval: batch_size=1), or name an expert",
        )
    raise ApiError(
        400,
        "a router reads text, and the prompt is not a text: send no token ids (lm-eval: tokenized_requests=False), "
        "or name an expert",
    )


def _conversation(messages: Any) -> RouterInput:
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise ApiError(400, "messages must be a list of objects, at least one")
    of_user = [message for message in messages if message.get("role") == "user"]
    pictures = tuple(picture for message in messages for picture in _pictures(message.get("content")))
    return RouterInput(_text((of_user or messages)[-1].get("content")), pictures=pictures)


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text")
    return "\n".join(text for text in texts if isinstance(text, str))


def _pictures(content: Any) -> Iterator[Picture]:
    for part in content if isinstance(content, list) else []:
        if isinstance(part, dict) and part.get("type") == "image_url":
            image = part.get("image_url")
            url = image.get("url") if isinstance(image, dict) else image
            yield Picture.of(_decoded(url))


def _decoded(url: Any) -> bytes:
    try:
        picture = sent_picture(url) if isinstance(url, str) else None
    except ValueError:
        raise ApiError(400, "the base64 of an image cannot be read") from None
    if picture is None:
        raise ApiError(
            400,
            "an image of a routed request must be a data:image/...;base64,... URI: this service downloads nothing. "
            "Send the image itself, or name an expert",
        )
    return picture


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)
