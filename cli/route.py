"""The command route: choose the expert for a question, without asking it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.wording import percent

from .command import Command, Session
from .drift_notes import note_drifted
from .output import echo, echo_json
from .routing_options import router_option, routing_options

if TYPE_CHECKING:
    from benchcoe_jobs.services.routing.decider import Choice


@click.command(cls=Command)
@click.argument("question", required=False)
@router_option
@click.option(
    "--input",
    "file",
    type=click.Path(readable=False, path_type=Path, allow_dash=True),
    help="JSONL file of questions; - is stdin.",
)
@click.option(
    "--image",
    "images",
    type=click.Path(readable=False, path_type=Path),
    multiple=True,
    help="A picture of the question. Repeatable.",
)
@routing_options
def route(
    session: Session,
    question: str | None,
    router: str | None,
    file: Path | None,
    images: tuple[Path, ...],
    fallback: bool,
    max_cost: float | None,
    quality_weight: float | Literal["auto"],
) -> None:
    """Choose the expert for a question.

    Give one question as an argument, or --input with a JSONL file whose lines are objects with the key
    question and optionally choices (a list), images (a list, or image, one) and id. Images are paths, which
    begin at the folder of the file, or data URIs. An expert that is known to see no pictures is not chosen
    for a question with some. Of a cascade, the expert that is asked first is shown: whether another one is
    asked depends on its answer. With --json, prints one object per question.
    """
    from benchcoe_jobs.domain import RouterInput
    from benchcoe_jobs.picture import Picture
    from benchcoe_jobs.picture_files import picture_file
    from benchcoe_jobs.services.routing.budget import Budget
    from benchcoe_jobs.services.routing.cascading import first_choices
    from benchcoe_jobs.services.routing.question_file import InputQuestion, read_questions

    if (question is None) == (file is None):
        raise UsageError("give one question or --input FILE, not both")
    if images and question is None:
        raise UsageError('--image is of the question that is given as an argument; in a file it is in "images"')
    if question is not None:
        pictures = tuple(Picture.of(picture_file(path)) for path in images)
        questions = [InputQuestion(None, RouterInput(question, pictures=pictures))]
    else:
        questions = read_questions(file) if file else []
    inputs = [entry.router_input for entry in questions]
    budget = Budget(max_cost, quality_weight)
    snapshot, choices = first_choices(session.store, session.settings.home, router, inputs, budget, falls_back=fallback)
    note_drifted(session, snapshot.eligible)
    for entry, choice in zip(questions, choices, strict=True):
        if session.as_json:
            echo_json(_as_json(entry.id, choice))
        else:
            subject = (
                f"; subject {choice.subject}, confidence {percent(choice.confidence, 0)}" if choice.subject else ""
            )
            line = f"{choice.expert}  ({choice.why}{subject})"
            echo(line if entry.id is None else f"{entry.id}\t{line}")


def _as_json(id_: str | None, choice: Choice) -> dict[str, Any]:
    return {**({} if id_ is None else {"id": id_}), **asdict(choice)}
