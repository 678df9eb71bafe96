"""A request as the messages of a chat, in the forms that chat templates, image processors and endpoints take.

Texts and images keep their order, and lone surrogates are replaced.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from benchcoe_jobs.domain import Image, Message, Request
from benchcoe_jobs.picture_opener import sent_file


def clean(text: str) -> str:
    """The text without lone surrogates, which JSON may contain and tokenizers refuse."""
    return text.encode("utf-8", "replace").decode("utf-8")


def template_messages(request: Request, n_shots: int) -> list[dict[str, Any]]:
    """The messages of a request without images, for a chat template. Each content is one text.

    Many templates take no list of texts; the texts of a message are then joined with line breaks, as vLLM's server
    joins them.
    """
    return [{"role": one.role, "content": clean(one.text)} for one in request.conversation(n_shots)]


def processor_messages(request: Request, n_shots: int, opened: Sequence[Any]) -> list[dict[str, Any]]:
    """The messages of a request for an image processor; `opened` are its images as pixels, in their order."""
    images = iter(opened)

    def part(one: str | Image) -> dict[str, Any]:
        return _text_part(one) if isinstance(one, str) else {"type": "image", "image": next(images)}

    return [{"role": one.role, "content": list(map(part, one.parts))} for one in request.conversation(n_shots)]


def endpoint_messages(request: Request, n_shots: int, images: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages of a request as OpenAI's API takes them.

    `images` are its images as parts of a message, in their order: those of `sent_images`, or of a server's own kind.
    """
    parts = iter(images)

    def content(message: Message) -> str | list[dict[str, Any]]:
        if isinstance(message.content, str):
            return clean(message.content)
        return [_text_part(one) if isinstance(one, str) else next(parts) for one in message.content]

    return [
        {"role": one.role, "content": content(one)} | ({} if one.name is None else {"name": one.name})
        for one in request.conversation(n_shots)
    ]


def sent_images(request: Request) -> list[dict[str, Any]]:
    """The images of a request as parts of a message with data URLs. Raises as `picture_opener.sent_file` does."""
    parts = (part for one in request.conversation(0) for part in one.parts if isinstance(part, Image))
    return [{"type": "image_url", "image_url": _data_url(part)} for part in parts]


def _data_url(image: Image) -> dict[str, str]:
    kind, file = sent_file(image.file)
    url = f"data:{kind};base64,{base64.b64encode(file).decode()}"
    return {"url": url} | ({} if image.detail is None else {"detail": image.detail})


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": clean(text)}
