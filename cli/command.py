"""What every command shares: the options, the open store, and how results are shown."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.settings import Settings

if TYPE_CHECKING:
    from benchcoe_jobs.store.session import Store


MAX_NAME = 200


class Finite(click.FloatRange):
    """A number in a range; "nan" and "inf" are numbers to Python, and slip through a FloatRange."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def new_name(_ctx: click.Context, param: click.Parameter, name: str | None) -> str | None:
    """A name that a command may create: one that can be typed again and shown on one line."""
    if name is not None and (name != name.strip() or not 0 < len(name) <= MAX_NAME or not name.isprintable()):
        raise UsageError(f"{param.name} {name!r}: use 1 to {MAX_NAME} printable characters, no blanks around them")
    return name


class Command(click.Command):
    """A command with the shared options; its function receives a Session as first argument.

    A command that brings its own store takes `own_store` and has no options to name one.
    """

    def __init__(self, *args: Any, own_store: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [
            click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object to stdout."),
            click.Option(["--quiet", "-q"], is_flag=True, help="No progress and no notes."),
            click.Option(["--debug"], is_flag=True, help="Show the traceback of an error."),
        ]
        if not own_store:
            self.params += [
                click.Option(["--database-url"], metavar="URL", help="The result store. [BENCHCOE_DATABASE_URL]"),
                click.Option(["--home"], metavar="FOLDER", help="Where artifacts are kept. [BENCHCOE_HOME]"),
            ]

    def invoke(self, ctx: click.Context) -> Any:
        shared = {name: ctx.params.pop(name, None) for name in ("as_json", "quiet", "database_url", "home")}
        ctx.params.pop("debug")  # read by main.execute
        settings = Settings.load(database_url=shared["database_url"], home=shared["home"])
        session = Session(settings, shared["as_json"], shared["quiet"])
        try:
            return ctx.invoke(self.callback, session, **ctx.params) if self.callback else None
        finally:
            session.close()


class Session:
    """One command's run: its settings, its store, and the way it talks."""

    def __init__(self, settings: Settings, as_json: bool, quiet: bool) -> None:
        self.settings = settings
        self.as_json = as_json
        self.quiet = quiet
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        """The result store, opened on first use."""
        if self._store is None:
            from benchcoe_jobs.store.session import open_store

            self._store = open_store(self.settings.database_url)
        return self._store

    def close(self) -> None:
        if self._store is not None:
            self._store.close()

    def note(self, message: str) -> None:
        """A line for people, to stderr."""
        if not self.quiet:
            click.echo(message, err=True)

    def show(self, data: Any, human: Callable[[], None]) -> None:
        """The result of the command: JSON with --json, else what `human` prints."""
        if self.as_json:
            click.echo(json.dumps(data, ensure_ascii=False, default=str))
        else:
            human()

    def show_list(self, name: str, rows: Sequence[Mapping[str, Any]], *, none: str | None = None) -> None:
        """A list of like rows; `none` is said to people where it is empty."""
        self.show(
            {name: rows},
            lambda: table([[cell(v) for v in row.values()] for row in rows], list(rows[0]) if rows else []),
        )
        if not rows:
            self.note(none or f"there are no {name} yet")

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """A bar on stderr with count and time, and where the total is known with rate and time left.

        Silent without a terminal.
        """
        if self.quiet or not sys.stderr.isatty():
            yield lambda rows: None
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            ProgressColumn,
            SpinnerColumn,
            Task,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.text import Text

        class Rate(ProgressColumn):
            def render(self, task: Task) -> Text:
                return Text("" if task.speed is None else f"{task.speed:.1f}/s")

        columns: list[ProgressColumn] = [SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn()]
        if total is not None:
            columns += [BarColumn(), Rate(), TimeRemainingColumn()]
        # A batch may take minutes: the rate looks back as far as that.
        with Progress(
            *columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True, speed_estimate_period=1800
        ) as bar:
            task = bar.add_task(what, total=total)
            yield lambda rows: bar.advance(task, rows)


def table(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
    """Print rows to stdout under column heads; numbers align right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    if not rows:
        return
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for position, name in enumerate(columns):
        numeric = all(_looks_numeric(row[position]) for row in rows)
        grid.add_column(name, justify="right" if numeric else "left", overflow="fold", no_wrap=not sys.stdout.isatty())
    for row in rows:
        grid.add_row(*row)
    width = None if sys.stdout.isatty() else 400  # a pipe has no width to fit
    Console(width=width, highlight=False, markup=False).print(grid)


def cell(value: Any) -> str:
    """How a value looks in a table."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(part) for part in value)
    return str(value)


def percent(value: float) -> str:
    """A fraction as a percentage with one decimal."""
    return f"{100 * value:.1f} %"


_NUMBER = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?( %)?( \(reported\))?|-?")


def _looks_numeric(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None
