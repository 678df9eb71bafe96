"""The command quickstart: run the whole workflow once, with the commands that a user types."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchcoe_jobs import demo
from benchcoe_jobs.demo import pictures as picture_demo
from benchcoe_jobs.errors import InputError, MissingError
from benchcoe_jobs.wording import percent

from .command import Command, Session, table
from .output import echo

if TYPE_CHECKING:
    from benchcoe_jobs.services.evaluation.report import Report

URL, HOME, MODELS, REPORT = "sqlite:///benchcoe.db", ".benchcoe", "experts", "report.html"
QUESTION = "Which ISO date is 3 May 1987?"
PICTURE_QUESTION, PICTURES = "What number does the picture show?", ("bars", "clocks", "dice")

PER_SUBJECT = 100
"""Questions per subject. 100 give intervals of a few points and take about a minute."""


@click.command(cls=Command, own_store=True)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Folder for the store and the models.  [default: benchcoe-quickstart, or benchcoe-pictures]",
)
@click.option("--pictures", is_flag=True, help="With experts that see, and a router that looks at the pictures.")
def quickstart(session: Session, folder: Path | None, pictures: bool) -> None:
    """Run the whole workflow once, with tiny real models.

    Prints each command and runs it in the folder, which contains its own store for you to explore
    afterwards, and a report of it. The experts are four language models of 1 MB each, which are part of
    this package. They run on this machine with the engine transformers. The command can be repeated.

    With --pictures, the experts see drawn pictures. Half of the questions have the same text, so that only
    the picture tells which expert is best: a router of kind tfidf is trained first, then one of kind vision.
    """
    needs = ("torch", "transformers", "jinja2", *(("PIL",) if pictures else ()))
    if missing := [{"PIL": "pillow"}.get(name, name) for name in needs if find_spec(name) is None]:
        raise MissingError(
            f"the quickstart runs real models and needs {' and '.join(missing)}: pip install 'benchcoe-jobs[engines]'"
        )
    walk = (_PictureWalk if pictures else _TextWalk)(session)
    folder = folder or Path(walk.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        walk.write(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}. Name another folder with --folder") from error
    os.environ.pop("BENCHCOE_BROKER_URL", None)  # this store is not for workers
    with contextlib.chdir(folder):
        reports = dict(walk.run())
        walk.write_report()
    before, after = reports["before"], reports["after"]

    def human() -> None:
        echo("", "Accuracy on the held-out test split. The newcomer was profiled; no router was retrained.")
        rows = []
        if "by_text" in reports:
            rows.append([f"routed by {reports['by_text'].router}", percent(reports["by_text"].accuracy), "-"])
        rows.append([f"routed by {before.router}", percent(before.accuracy), percent(after.accuracy)])
        for name, accuracy in after.experts.items():
            rows.append([name, percent(before.experts[name]) if name in before.experts else "-", percent(accuracy)])
        table(rows, ["", "3 experts", "with the newcomer"])
        echo(f"The report is {folder / REPORT}: open it in a browser.")
        echo(f"The store is in {folder}. Change to that folder to run more commands.")

    session.show({name: report.as_json() for name, report in reports.items()}, human)


class _Walk:
    """The steps of a quickstart. They run in the current folder, which contains the store."""

    folder: str
    newcomer: str

    def __init__(self, session: Session) -> None:
        self._session = session

    def write(self, folder: Path) -> None:
        """Write the questions and the models to a folder. Raises OSError."""
        raise NotImplementedError

    def run(self) -> Iterator[tuple[str, Report]]:
        """Run all steps. Yields the reports by name, "before" and "after" the newcomer among them."""
        raise NotImplementedError

    def write_report(self) -> None:
        """Write the report of the store, beside it."""
        self._command("report", "--out", REPORT)

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

    def _add_newcomer(self, *, is_repeated: bool) -> None:
        if is_repeated:
            self._command("retire", self.newcomer, "--restore")
            self._command("profile", self.newcomer)
        else:
            self._add_expert(self.newcomer)

    def _retire_newcomer(self) -> bool:
        """Retire the newcomer if an earlier run added it, so that each run starts without it."""
        from benchcoe_jobs.store.results import experts
        from benchcoe_jobs.store.session import open_store

        with contextlib.closing(open_store(URL)) as store, store.writing() as connection:
            is_known = self.newcomer in experts.expert_ids(connection)
            if is_known:
                experts.set_retired(connection, self.newcomer, True)
        return is_known

    def _evaluate(self, router: str) -> Report:
        from benchcoe_jobs.services.evaluation.evaluate import evaluate
        from benchcoe_jobs.store.session import open_store

        from .evaluate import print_report

        self._print_command("evaluate", router)
        with contextlib.closing(open_store(URL)) as store:
            report = evaluate(store, Path(HOME), router, benchmark=None, split="test")
        if not self._session.as_json:
            print_report(self._session, report)
        return report


class _TextWalk(_Walk):
    """Experts that read, and a router that does."""

    folder, newcomer = "benchcoe-quickstart", demo.NEWCOMER

    def write(self, folder: Path) -> None:
        from benchcoe_jobs.demo.questions import write_questions

        write_questions(folder / "skills.jsonl", PER_SUBJECT)
        for name in demo.SKILLS:
            shutil.copytree(demo.model_folder(name), folder / MODELS / name, dirs_exist_ok=True)

    def run(self) -> Iterator[tuple[str, Report]]:
        self._command("init")
        self._command("add-benchmark", "skills", "skills.jsonl")
        is_repeated = self._retire_newcomer()
        for name in demo.STARTERS:
            self._add_expert(name)
        self._command("build-labels", "--level", "subject")
        self._command("train-router", "by-subject", "--level", "subject", "--kind", "tfidf")
        yield "before", self._evaluate("by-subject")
        self._add_newcomer(is_repeated=is_repeated)
        self._command("build-labels", "--level", "subject")
        yield "after", self._evaluate("by-subject")
        self._command("route", "--router", "by-subject", QUESTION)


class _PictureWalk(_Walk):
    """Experts that see, a router that reads, and one that looks."""

    folder, newcomer = "benchcoe-pictures", picture_demo.NEWCOMER

    def write(self, folder: Path) -> None:
        from benchcoe_jobs.demo.pictures.questions import write_pictures

        write_pictures(folder / "drawings", PER_SUBJECT)
        for name in picture_demo.STRONG:
            shutil.copytree(picture_demo.model_folder(name), folder / MODELS / name, dirs_exist_ok=True)

    def run(self) -> Iterator[tuple[str, Report]]:
        self._command("init")
        self._command("add-benchmark", "drawings", "drawings")
        is_repeated = self._retire_newcomer()
        for name in picture_demo.STARTERS:
            self._add_expert(name)
        self._command("build-labels", "--level", "subject")
        self._command("train-router", "by-text", "--level", "subject", "--kind", "tfidf")
        yield "by_text", self._evaluate("by-text")
        self._command("train-router", "by-picture", "--level", "subject", "--kind", "vision")
        yield "before", self._evaluate("by-picture")
        self._add_newcomer(is_repeated=is_repeated)
        self._command("build-labels", "--level", "subject")
        yield "after", self._evaluate("by-picture")
        for name in PICTURES:
            self._command("route", "--router", "by-picture", "--image", f"drawings/{name}-0.png", PICTURE_QUESTION)
