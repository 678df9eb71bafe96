"""Micro-batches through an expert: their order, and what happens when the lease is over."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any, cast

import pytest

from benchcoe_jobs.domain import UNANSWERED, Completion, Decoding, Request
from benchcoe_jobs.engines.engine_client import EngineClient, MicroBatch
from benchcoe_jobs.job_queue.lease import Lease
from benchcoe_jobs.services.inference import stream


class PrefetchingClient:
    """Takes two micro-batches before it answers the first."""

    def stream(self, batches: Iterable[MicroBatch]) -> Generator[list[Completion], None, None]:
        source, sent = iter(batches), []
        while True:
            while len(sent) < 2 and (batch := next(source, None)) is not None:
                sent.append(batch)
            if not sent:
                return
            requests, _ = sent.pop(0)
            texts = [request.question.upper() for request in requests]
            yield [UNANSWERED if text == "?" else Completion(text=text) for text in texts]


class StubLease:
    """A lease that can be ended."""

    is_over = False

    def check(self) -> None:
        if self.is_over:
            raise InterruptedError


def completions(lease: StubLease, words: Iterable[str]) -> Any:
    def requests(word: Sequence[str]) -> MicroBatch:
        return [Request(letter) for letter in word], Decoding()

    return stream.completions(cast(EngineClient, PrefetchingClient()), cast(Lease, lease), words, requests)


def test_each_item_comes_with_its_completions_in_order() -> None:
    answered = [(word, [one.text for one in texts]) for word, texts, _ in completions(StubLease(), ["ab", "c"])]
    assert answered == [(["a", "b"], ["A", "B"]), (["c"], ["C"])]


def test_an_item_without_an_answer_is_left_out() -> None:
    """A fault ended the run before its request was answered."""
    answered = [(word, [one.text for one in texts]) for word, texts, _ in completions(StubLease(), ["a?b"])]
    assert answered == [(["a", "b"], ["A", "B"])]


def test_a_lease_that_is_over_sends_no_more_but_yields_what_was_sent() -> None:
    lease, taken = StubLease(), []

    def words() -> Generator[str, None, None]:
        for word in "abcdef":
            taken.append(word)
            yield word

    found = completions(lease, words())
    assert next(found)[0] == ["a"]
    lease.is_over = True
    assert next(found)[0] == ["b"]
    with pytest.raises(InterruptedError):
        next(found)
    assert taken == ["a", "b", "c"]
