"""Measure how far an expert agrees with itself, and verify later that it is still the same one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from benchcoe_jobs.engines.engine_client import EngineClient
from benchcoe_jobs.services.drift.reask import StoredAnswers, agreements, stored_answers
from benchcoe_jobs.services.drift.sprt import AgreementTest, Verdict, own_agreement
from benchcoe_jobs.services.inference.expert_settings import settings_of
from benchcoe_jobs.store.results import checks, experts
from benchcoe_jobs.store.results.checks import NewCheck
from benchcoe_jobs.store.session import Store

REPEAT, VERIFY = "repeat", "verify"

MOST_QUESTIONS = 400


@dataclass(frozen=True, slots=True)
class Repeated:
    """How often an expert gave the stored answer again, right after it was profiled."""

    benchmark: str
    n: int
    agreed: int

    def as_json(self) -> dict[str, Any]:
        """The counts as one JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Verified:
    """The verdict on an expert: `agreed` of `n` answers are the stored ones.

    `own_agreement` is what was tested against, `changed_agreement` that of an expert that has changed; `is_measured` is
    whether the former was measured by `profile --repeat`.
    """

    expert: str
    benchmark: str
    verdict: Verdict
    n: int
    agreed: int
    own_agreement: float
    changed_agreement: float
    is_measured: bool

    def as_json(self) -> dict[str, Any]:
        """The verdict as one JSON object."""
        return asdict(self)


def measure(store: Store, expert: str, benchmarks: Sequence[str], n: int) -> list[Repeated]:
    """Ask `n` answered questions of each benchmark again, and store how many answers are the same.

    Raises UsageError if the expert has no engine or no stored answers; EngineError.
    """
    with store.reading() as connection:
        expert_id, row = experts.read_expert(connection, expert)
    known = stored_answers(store, expert, expert_id, benchmarks)
    found = []
    with closing(EngineClient(settings_of(row))) as client:
        for answers in known:
            same = list(agreements(store, client, answers, answers.sample(n, seed=0)))
            found.append(Repeated(answers.plan.benchmark.name, len(same), sum(same)))
            with store.writing() as connection:
                check = NewCheck(REPEAT, len(same), sum(same), None)
                checks.add(connection, expert_id, answers.plan.benchmark_id, check)
    return found


def verify(store: Store, expert: str, benchmark: str | None, most: int = MOST_QUESTIONS) -> Verified:
    """Ask stored questions again until it is settled whether the expert is the one that was profiled.

    A drifted expert is marked, and the mark of one that is the same again is taken away. None is the benchmark with the
    most stored answers. Raises UsageError if the expert has no engine or no stored answers; EngineError.
    """
    with store.reading() as connection:
        expert_id, row = experts.read_expert(connection, expert)
    settings = settings_of(row)
    known = max(
        stored_answers(store, expert, expert_id, [] if benchmark is None else [benchmark]),
        key=lambda answers: len(answers.texts),
    )
    with store.reading() as connection:
        measured = checks.newest(connection, expert_id, known.plan.benchmark_id, REPEAT)
        n_before = checks.count(connection, expert_id)
    agreed, n = (0, 0) if measured is None else (measured.agreed, measured.n)
    test = AgreementTest(own_agreement(agreed, n))
    with closing(EngineClient(settings)) as client:
        verdict = _run(store, client, known, test, most, seed=n_before + 1)
    with store.writing() as connection:
        check = NewCheck(VERIFY, test.n, test.agreed, verdict.value)
        checks.add(connection, expert_id, known.plan.benchmark_id, check)
        if verdict is not Verdict.UNDECIDED:
            checks.set_drifted(connection, expert_id, verdict is Verdict.DRIFTED)
    name = known.plan.benchmark.name
    return Verified(expert, name, verdict, test.n, test.agreed, test.p0, test.p1, is_measured=n > 0)


def _run(
    store: Store, client: EngineClient, known: StoredAnswers, test: AgreementTest, most: int, seed: int
) -> Verdict:
    for same in agreements(store, client, known, known.sample(most, seed)):
        if test.count(same) is not Verdict.UNDECIDED:
            break
    return test.verdict
