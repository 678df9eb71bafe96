"""Small sets of topics to route among, and a cache of embeddings in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.picture import Picture
from benchcoe_jobs.routers.base import Examples

_TOPICS = """
apple bridge candle dolphin engine flower guitar harbour island jacket kettle lemon mirror needle orchestra
pencil queen river saddle tiger umbrella violin window yoghurt zebra anchor butter camera desert elephant
feather glacier hammer insect jungle knight ladder magnet notebook ocean parachute quilt rocket sandal
telescope uniform volcano whistle airport bicycle castle diamond earthquake forest galaxy helmet igloo judge
kangaroo lantern monastery nurse oyster penguin
"""
_SEEN = ("What is a {}?", "Tell me about the {}.", "Who made this {}, and why?", "The {} is old.", "a {} again")
_UNSEEN = "Please explain to me: the {}"


@dataclass(frozen=True)
class World:
    """Questions on k topics; output i is the right one for topic i. `unseen` has one question on each topic.

    Each topic has a picture of its own, which all its questions have.
    """

    outputs: tuple[str, ...]
    examples: Examples
    unseen: list[RouterInput]


def world(k: int) -> World:
    topics = _TOPICS.split()[:k]
    outputs = tuple(f"out-{topic}" for topic in topics)
    pictures = [(picture(number),) for number in range(k)]
    questions = [
        RouterInput(form.format(topic), pictures=of)
        for form in _SEEN
        for topic, of in zip(topics, pictures, strict=True)
    ]
    examples = Examples(questions, outputs * len(_SEEN), np.tile(np.eye(k), (len(_SEEN), 1)))
    unseen = [RouterInput(_UNSEEN.format(topic), pictures=of) for topic, of in zip(topics, pictures, strict=True)]
    return World(outputs, examples, unseen)


@cache
def picture(number: int) -> Picture:
    """A small picture of random squares, the same for the same number."""
    pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).resize((16, 16), Image.Resampling.NEAREST).save(file, "PNG")
    return Picture.of(file.getvalue())


@dataclass
class MemoryCache:
    """A cache of embeddings."""

    kept: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def get(self, encoder: str, hashes: Sequence[str]) -> dict[str, bytes]:
        return {key: self.kept[encoder, key] for key in hashes if (encoder, key) in self.kept}

    def put(self, encoder: str, vectors: Mapping[str, bytes]) -> None:
        self.kept.update({(encoder, key): vector for key, vector in vectors.items()})
