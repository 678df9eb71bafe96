"""route: which expert for this question?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchcoe_jobs.errors import UsageError

from .command import Command, Session
from .routing_options import decides

if TYPE_CHECKING:
    from benchcoe_jobs.services.routing.decider import Choice


@click.command(cls=Command)
@click.argument("question", required=False)
@click.option("--router", metavar="NAME", help="May be left out where there is only one.")
@click.option(
    "--input", "file", type=click.Path(path_type=Path, allow_dash=True), help="JSONL of questions; - is stdin."
)
@decides
def route(
    session: Session,
    question: str | None,
    router: str | None,
    file: Path | None,
    fallback: bool,
    max_cost: float | None,
    quality_weight: float,
) -> None:
    """Which expert for this question?

    One question as an argument, or with --input a JSONL file whose lines are objects with a question
    and, where there are any, choices (a list) and an id. With --json, one object per question.
    """
    from benchcoe_jobs.domain import RouterInput
    from benchcoe_jobs.services.routing.budget import Budget
    from benchcoe_jobs.services.routing.decider import open_decider
    from benchcoe_jobs.services.routing.question_file import InputQuestion, read_questions

    if (question is None) == (file is None):
        raise UsageError("give one question, or --input FILE (not both)")
    asked = (
        [InputQuestion(None, RouterInput(question))] if question is not None else read_questions(file) if file else []
    )
    decider = open_decider(session.store, session.settings.home, router, falls_back=fallback)
    choices = decider.choose([one.router_input for one in asked], Budget(max_cost, quality_weight))
    for one, choice in zip(asked, choices, strict=True):
        if session.as_json:
            click.echo(json.dumps(_as_json(one.id, choice), ensure_ascii=False))
        else:
            said = f"{choice.expert}  ({choice.why}"
            said += f"; subject {choice.subject} with {choice.confidence:.0%})" if choice.subject else ")"
            click.echo(said if one.id is None else f"{one.id}\t{said}")


def _as_json(id_: str | None, choice: Choice) -> dict[str, Any]:
    return {**({} if id_ is None else {"id": id_}), **asdict(choice)}
