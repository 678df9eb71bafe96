"""Every registered kind of job has the interface that the queue uses."""

from __future__ import annotations

import inspect

import pytest

from benchcoe_jobs import registry
from benchcoe_jobs.job_queue.job_kind import JobKind
from benchcoe_jobs.job_queue.lifecycle import kind_of

METHODS = [name for name, member in vars(JobKind).items() if inspect.isfunction(member) and not name.startswith("_")]


def test_the_interface_has_five_methods() -> None:
    assert METHODS == ["needs", "plan", "run", "report", "follow_ups"]


@pytest.mark.parametrize("name", registry.names("jobs"))
def test_a_registered_kind_implements_it(name: str) -> None:
    kind = kind_of(name)
    assert kind.n_stages >= 1
    for method in METHODS:
        wanted = list(inspect.signature(getattr(JobKind, method)).parameters)[1:]
        assert list(inspect.signature(getattr(kind, method)).parameters) == wanted, method
