"""A request as the messages of a chat, in the forms that chat templates, image processors and endpoints take.

Texts and images keep their order, and lone surrogates are replaced.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from benchcoe_jobs.domain import Image, Message, Request
from benchcoe_jobs.engines.images import media_type


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
        if isinstance(one, str):
            return {"type": "text", "text": clean(one)}
        return {"type": "image", "image": next(images)}

    return [{"role": one.role, "content": list(map(part, one.parts))} for one in request.conversation(n_shots)]


def endpoint_messages(request: Request, n_shots: int) -> list[dict[str, Any]]:
    """The messages of a request as OpenAI's API takes them. Raises EngineError for an unknown image format."""
    return [_endpoint_message(message) for message in request.conversation(n_shots)]


def _endpoint_message(message: Message) -> dict[str, Any]:
    content = message.content
    named = {} if message.name is None else {"name": message.name}
    written = clean(content) if isinstance(content, str) else list(map(_endpoint_part, content))
    return {"role": message.role, "content": written} | named


def _endpoint_part(part: str | Image) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": clean(part)}
    url = f"data:{media_type(part.file)};base64,{base64.b64encode(part.file).decode()}"
    detail = {} if part.detail is None else {"detail": part.detail}
    return {"type": "image_url", "image_url": {"url": url} | detail}
