"""The command quickstart: run the whole workflow once, with the commands that a user types."""

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
from benchcoe_jobs.wording import percent

from .command import Command, Session, table
from .output import echo

if TYPE_CHECKING:
    from benchcoe_jobs.services.evaluation.report import Report

URL, HOME, MODELS = "sqlite:///benchcoe.db", ".benchcoe", "experts"
QUESTION = "Which ISO date is 3 May 1987?"

PER_SUBJECT = 100
"""Questions per subject. 100 give intervals of a few points and take about a minute."""


@click.command(cls=Command, own_store=True)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("benchcoe-quickstart"),
    show_default=True,
    help="Folder for the store and the models.",
)
def quickstart(session: Session, folder: Path) -> None:
    """Run the whole workflow once, with tiny real models.

    Prints each command and runs it in the folder, which contains its own store for you to explore
    afterwards. The experts are four language models of 1 MB each, which are part of this package. They run
    on this machine with the engine transformers. The command can be repeated.
    """
    from benchcoe_jobs.demo.questions import write_questions

    if missing := [name for name in ("torch", "transformers") if find_spec(name) is None]:
        raise MissingError(
            f"the quickstart runs real models and needs {' and '.join(missing)}: pip install 'benchcoe-jobs[engines]'"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_questions(folder / "skills.jsonl", PER_SUBJECT)
        for name in demo.SKILLS:
            shutil.copytree(demo.model_folder(name), folder / MODELS / name, dirs_exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}. Name another folder with --folder") from error
    os.environ.pop("BENCHCOE_BROKER_URL", None)  # this store is not for workers
    with contextlib.chdir(folder):
        before, after = _Walk(session).run()

    def human() -> None:
        echo("", "Accuracy on the held-out test split. The newcomer was profiled; no router was retrained.")
        rows = [["routed by by-subject", percent(before.accuracy), percent(after.accuracy)]]
        for name, accuracy in after.experts.items():
            rows.append([name, percent(before.experts[name]) if name in before.experts else "-", percent(accuracy)])
        table(rows, ["", "3 experts", "with the newcomer"])
        echo(f"The store is in {folder}. Change to that folder to run more commands.")

    session.show({"before": before.as_json(), "after": after.as_json()}, human)


class _Walk:
    """The steps of the quickstart. They run in the current folder, which contains the store."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def run(self) -> tuple[Report, Report]:
        """Run all steps. Returns the reports without and with the newcomer."""
        self._command("init")
        self._command("add-benchmark", "skills", "skills.jsonl")
        is_repeated = self._retire_newcomer()
        for name in demo.STARTERS:
            self._add_expert(name)
        self._command("build-labels", "--level", "subject")
        self._command("train-router", "by-subject", "--level", "subject", "--kind", "tfidf")
        before = self._evaluate()
        if is_repeated:
            self._command("retire", demo.NEWCOMER, "--restore")
            self._command("profile", demo.NEWCOMER)
        else:
            self._add_expert(demo.NEWCOMER)
        self._command("build-labels", "--level", "subject")
        after = self._evaluate()
        self._command("route", "--router", "by-subject", QUESTION)
        return before, after

    def _print_command(self, *words: str) -> None:
        if not self._session.as_json:
            echo("", f"$ benchcoe-jobs {shlex.join(words)}")

    def _command(self, *words: str) -> None:
        """Print a command and run it on the store of the quickstart."""
        from .main import main

        self._print_command(*words)
        as_json = self._session.as_json
        options = ["--json"] * as_json + ["--quiet"] * self._session.quiet
        with contextlib.redirect_stdout(io.StringIO()) if as_json else contextlib.nullcontext():
            main([*words, *options, "--database-url", URL, "--home", HOME], standalone_mode=False)

    def _add_expert(self, name: str) -> None:
        self._command("add-expert", name, "--engine", "transformers", "--model", f"{MODELS}/{name}")

    def _retire_newcomer(self) -> bool:
        """Retire the newcomer if an earlier run added it, so that each run starts without it."""
        from benchcoe_jobs.store.results import experts
        from benchcoe_jobs.store.session import open_store

        with contextlib.closing(open_store(URL)) as store, store.writing() as connection:
            is_known = demo.NEWCOMER in experts.expert_ids(connection)
            if is_known:
                experts.set_retired(connection, demo.NEWCOMER, True)
        return is_known

    def _evaluate(self) -> Report:
        from benchcoe_jobs.services.evaluation.evaluate import evaluate
        from benchcoe_jobs.store.session import open_store

        from .evaluate import print_report

        self._print_command("evaluate", "by-subject")
        with contextlib.closing(open_store(URL)) as store:
            report = evaluate(store, Path(HOME), "by-subject", benchmark=None, split="test")
        if not self._session.as_json:
            print_report(self._session, report)
        return report
