"""quickstart: the whole way once, by the commands that a user types."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path

import click

from benchcoe_jobs.errors import InputError

from .command import Command, Session, percent, table

QUESTION = "Which date is 12 days after 3 May?"


@click.command(cls=Command)
@click.option("--folder", type=click.Path(path_type=Path), default=Path("benchcoe-quickstart"), show_default=True)
def quickstart(session: Session, folder: Path) -> None:
    """See the whole way once, on a small synthetic result set.

    Runs the commands that it prints in FOLDER, which keeps its own store: look around there
    afterwards. The experts and their scores are made up. Safe to repeat.
    """
    from benchcoe_jobs.jobs import synthetic
    from benchcoe_jobs.jobs.evaluate import Report, evaluate
    from benchcoe_jobs.store import experts
    from benchcoe_jobs.store.migrate import upgrade
    from benchcoe_jobs.store.session import connect, open_store

    from .main import main

    url, home = "sqlite:///benchcoe.db", ".benchcoe"

    def step(*words: str) -> None:
        if not session.as_json:
            click.echo(f"\n$ benchcoe-jobs {shlex.join(words)}")
        shown = ["--json"] * session.as_json + ["--quiet"] * session.quiet
        with contextlib.redirect_stdout(None) if session.as_json else contextlib.nullcontext():
            main([*words, *shown, "--database-url", url, "--home", home], standalone_mode=False)

    def add_expert(name: str) -> None:
        step("add-expert", name, "--engine", "recorded", "--cost", f"{synthetic.COSTS[name]:g}")

    def measured() -> Report:
        store = open_store(url)
        report = evaluate(store, Path(home), "by-subject", benchmark=None, split="test")
        store.close()
        return report

    try:
        folder.mkdir(parents=True, exist_ok=True)
        synthetic.write_results(synthetic.STARTERS, folder / "starters.jsonl")
        synthetic.write_results([synthetic.NEWCOMER], folder / "newcomer.jsonl")
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}: name another with --folder") from error
    with contextlib.chdir(folder):
        store = connect(url)
        upgrade(store)
        with store.writing() as connection:  # a second run starts without the newcomer again
            again = synthetic.NEWCOMER in experts.expert_ids(connection)
            if again:
                experts.set_retired(connection, synthetic.NEWCOMER, True)
        store.close()

        step("init")
        for name in synthetic.STARTERS:
            add_expert(name)
        step("import-results", "all", "starters.jsonl")
        step("build-labels", "--level", "subject")
        step("train-router", "by-subject", "--level", "subject", "--kind", "tfidf")
        step("evaluate", "by-subject")
        before = measured()
        if again:
            step("retire", synthetic.NEWCOMER, "--restore")
        else:
            add_expert(synthetic.NEWCOMER)
        step("import-results", synthetic.NEWCOMER, "newcomer.jsonl")
        step("build-labels", "--level", "subject")
        step("evaluate", "by-subject")
        after = measured()
        step("route", "--router", "by-subject", QUESTION)

    rows = [
        ["routed by by-subject", percent(before.accuracy), percent(after.accuracy)],
        *(
            [name, percent(before.experts.get(name, float("nan"))), percent(after.experts[name])]
            for name in after.experts
        ),
    ]
    data = {"synthetic": True, "before": before.as_json(), "after": after.as_json()}

    def human() -> None:
        click.echo("\nAccuracy on the held-out test split. The newcomer was profiled; no router was retrained.")
        table(
            [[name, "-" if value == "nan %" else value, now] for name, value, now in rows],
            ["", "3 experts", "with the newcomer"],
        )
        click.echo(f"SYNTHETIC: these experts are made up. The store is in {folder}: cd there and try the commands.")

    session.show(data, human)
