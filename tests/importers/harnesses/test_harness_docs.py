"""The question of a row of a harness."""

from __future__ import annotations

from benchcoe_jobs.importers.harnesses.harness_docs import question


def test_a_template_with_many_blanks_takes_linear_time() -> None:
    """Two repetitions of blanks that follow each other would take hours for these."""
    blanks = " " * 1_000_000
    assert question({"term": "iron"}, f"What is {{{{{blanks}term{blanks}}}}}?", []) == "What is iron?"
    assert question({"term": "iron"}, f"What is {{{{term{blanks}?", [["prompt"]]) == "prompt"
