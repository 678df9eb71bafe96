"""quickstart: the whole way once, by the commands that a user types."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchcoe_jobs import demo
from benchcoe_jobs.errors import InputError, MissingError

from .command import Command, Session, percent, table

if TYPE_CHECKING:
    from benchcoe_jobs.services.evaluation.report import Report

URL, HOME, MODELS = "sqlite:///benchcoe.db", ".benchcoe", "experts"
QUESTION = "Which ISO date is 3 May 1987?"

PER_SUBJECT = 100
"""Questions: enough for intervals of a few points, few enough for a minute."""


@click.command(cls=Command, own_store=True)
@click.option("--folder", type=click.Path(path_type=Path), default=Path("benchcoe-quickstart"), show_default=True)
def quickstart(session: Session, folder: Path) -> None:
    """See the whole way once, with tiny real experts.

    Runs the commands that it prints in FOLDER, which keeps its own store: look around there
    afterwards. The experts are four language models of 1 MB each that come with this program; they are
    asked on this machine, by the engine transformers. Safe to repeat.
    """
    from benchcoe_jobs.demo.questions import write_questions

    if missing := [name for name in ("torch", "transformers") if find_spec(name) is None]:
        raise MissingError(
            f"the quickstart asks real models and needs more packages ({', '.join(missing)}): "
            "pip install 'benchcoe-jobs[engines]'"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_questions(folder / "skills.jsonl", PER_SUBJECT)
        for name in demo.SKILLS:
            shutil.copytree(demo.model_folder(name), folder / MODELS / name, dirs_exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}: name another with --folder") from error
    os.environ.pop("BENCHCOE_BROKER_URL", None)  # workers elsewhere have nothing to do with this store
    with contextlib.chdir(folder):
        before, after = _walk(session)

    def human() -> None:
        click.echo("\nAccuracy on the held-out test split. The newcomer was profiled; no router was retrained.")
        rows = [["routed by by-subject", percent(before.accuracy), percent(after.accuracy)]]
        for name, accuracy in after.experts.items():
            rows.append([name, percent(before.experts[name]) if name in before.experts else "-", percent(accuracy)])
        table(rows, ["", "3 experts", "with the newcomer"])
        click.echo(f"The store is in {folder}: cd there and try the commands.")

    session.show({"before": before.as_json(), "after": after.as_json()}, human)


def _walk(session: Session) -> tuple[Report, Report]:
    """The steps, in the folder that the store is in; reports without and with the newcomer."""
    from benchcoe_jobs.services.evaluation.evaluate import evaluate
    from benchcoe_jobs.store.results import experts
    from benchcoe_jobs.store.session import open_store

    from .evaluate import print_report
    from .main import main

    def say(*words: str) -> None:
        if not session.as_json:
            click.echo(f"\n$ benchcoe-jobs {shlex.join(words)}")

    def step(*words: str) -> None:
        say(*words)
        options = ["--json"] * session.as_json + ["--quiet"] * session.quiet
        with contextlib.redirect_stdout(io.StringIO()) if session.as_json else contextlib.nullcontext():
            main([*words, *options, "--database-url", URL, "--home", HOME], standalone_mode=False)

    def add_expert(name: str) -> None:
        step("add-expert", name, "--engine", "transformers", "--model", f"{MODELS}/{name}")

    def evaluated() -> Report:
        say("evaluate", "by-subject")
        with contextlib.closing(open_store(URL)) as store:
            report = evaluate(store, Path(HOME), "by-subject", benchmark=None, split="test")
        if not session.as_json:
            print_report(session, report)
        return report

    step("init")
    step("add-benchmark", "skills", "skills.jsonl")
    with contextlib.closing(open_store(URL)) as store, store.writing() as connection:
        again = demo.NEWCOMER in experts.expert_ids(connection)
        if again:  # a second run starts without the newcomer, as the first did
            experts.set_retired(connection, demo.NEWCOMER, True)
    for name in demo.STARTERS:
        add_expert(name)
    step("build-labels", "--level", "subject")
    step("train-router", "by-subject", "--level", "subject", "--kind", "tfidf")
    before = evaluated()
    if again:
        step("retire", demo.NEWCOMER, "--restore")
        step("profile", demo.NEWCOMER)
    else:
        add_expert(demo.NEWCOMER)
    step("build-labels", "--level", "subject")
    after = evaluated()
    step("route", "--router", "by-subject", QUESTION)
    return before, after
