"""The table of an evaluation."""

from __future__ import annotations

import pytest
import routing_world

from benchcoe_jobs.cli.command import Session
from benchcoe_jobs.cli.evaluate import print_report
from benchcoe_jobs.services.evaluation.report import compare, gather
from benchcoe_jobs.settings import Settings

DECIDED = routing_world.decided_by_hand(("ann", "bob"), ("apples", "bricks"))


@pytest.mark.parametrize(
    ("ann", "bob", "marked"),
    [((1.0, 0.0), (1.0, 1.0), True), ((1.0, 0.0), (0.0, 1.0), False), ((1.0, 1.0), (1.0, 0.0), False)],
    ids=["behind", "equal", "ahead"],
)
def test_the_best_single_expert_is_marked_if_another_one_is_ahead(
    capsys: pytest.CaptureFixture[str], ann: tuple[float, ...], bob: tuple[float, ...], marked: bool
) -> None:
    """ann is the best single expert, chosen on the training split."""
    rows = [(query, expert, score, None) for expert, of in ((1, ann), (2, bob)) for query, score in enumerate(of, 1)]
    report = compare(DECIDED, 0, gather(rows, {1: "ann", 2: "bob"}, {"ann": None, "bob": None}, DECIDED.questions))
    print_report(Session(Settings(), as_json=False, quiet=False), report)
    lines = capsys.readouterr().out.splitlines()
    [row] = [line for line in lines if line.strip().startswith("ann ")]
    assert ("ann (best on the training split)" in row) == marked
    assert not any("bob (best" in line for line in lines)
