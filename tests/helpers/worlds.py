"""Small sets of topics to route among, and a cache of embeddings in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchcoe_jobs.domain import RouterInput
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
    """Questions on k topics; output i is the right one for topic i. `unseen` has one question on each topic."""

    outputs: tuple[str, ...]
    examples: Examples
    unseen: list[RouterInput]


def world(k: int) -> World:
    topics = _TOPICS.split()[:k]
    outputs = tuple(f"out-{topic}" for topic in topics)
    questions = [RouterInput(form.format(topic)) for form in _SEEN for topic in topics]
    examples = Examples(questions, outputs * len(_SEEN), np.tile(np.eye(k), (len(_SEEN), 1)))
    return World(outputs, examples, [RouterInput(_UNSEEN.format(topic)) for topic in topics])


@dataclass
class MemoryCache:
    """A cache of embeddings."""

    kept: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def get(self, encoder: str, hashes: Sequence[str]) -> dict[str, bytes]:
        return {key: self.kept[encoder, key] for key in hashes if (encoder, key) in self.kept}

    def put(self, encoder: str, vectors: Mapping[str, bytes]) -> None:
        self.kept.update({(encoder, key): vector for key, vector in vectors.items()})
