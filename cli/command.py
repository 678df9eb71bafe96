"""The parts that all commands share: common options, the open store, and the output of results."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from benchcoe_jobs.characters import MAX_NAME, new_name_fault, visible
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.settings import Settings

from .output import echo_error, echo_json

if TYPE_CHECKING:
    from benchcoe_jobs.store.session import Store


class Finite(click.FloatRange):
    """A finite number in a range. click.FloatRange accepts "nan" and "inf"."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class FiniteOr(Finite):
    """A finite number in a range, or one word that stands for something else."""

    def __init__(self, word: str, *, min: float, max: float) -> None:
        super().__init__(min=min, max=max)
        self.word = word

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == self.word:
            return value
        try:
            float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor {self.word}.", param, ctx)
        return super().convert(value, param, ctx)


def new_name(_ctx: click.Context, param: click.Parameter, name: str | None) -> str | None:
    """Validate the name of a new object. Raises UsageError; names in imported files obey the same rule."""
    if name is not None and (fault := new_name_fault(name)):
        shown = name if len(name) <= MAX_NAME else f"{name[:20]}..."
        raise UsageError(f"{param.name} {shown!r}: {fault}")
    return name


class Command(click.Command):
    """A command with the common options. Its function receives a Session as the first argument.

    With `own_store`, the command creates its own store, or needs none, and has no options that select one.
    """

    def __init__(self, *args: Any, own_store: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [
            click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object to stdout."),
            click.Option(["--quiet", "-q"], is_flag=True, help="Print no progress and no notes."),
            click.Option(["--debug"], is_flag=True, help="Show the traceback of an error."),
        ]
        if not own_store:
            self.params += [
                click.Option(
                    ["--database-url"], metavar="URL", help="URL of the result store. [BENCHCOE_DATABASE_URL]"
                ),
                click.Option(["--home"], metavar="FOLDER", help="Folder for artifacts. [BENCHCOE_HOME]"),
            ]

    def invoke(self, ctx: click.Context) -> Any:
        shared = {name: ctx.params.pop(name, None) for name in ("as_json", "quiet", "database_url", "home")}
        ctx.params.pop("debug")  # main reads it from the arguments
        settings = Settings.load(database_url=shared["database_url"], home=shared["home"])
        session = Session(settings, shared["as_json"], shared["quiet"])
        try:
            return ctx.invoke(self.callback, session, **ctx.params) if self.callback else None
        finally:
            session.close()


class Session:
    """The context of one running command: its settings, its store and its output."""

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
        """Close the store if it was opened."""
        if self._store is not None:
            self._store.close()

    def note(self, message: str) -> None:
        """Print a line for the user to stderr, unless --quiet is set."""
        if not self.quiet:
            echo_error(message)

    def show(self, data: Any, human: Callable[[], None]) -> None:
        """Print the result of the command: `data` as JSON with --json, otherwise by calling `human`."""
        if self.as_json:
            echo_json(data)
        else:
            human()

    def show_list(self, name: str, rows: Sequence[Mapping[str, Any]], *, none: str | None = None) -> None:
        """Print rows with equal keys, as a table or as JSON. The note `none` is printed if there are none."""
        self.show(
            {name: rows},
            lambda: table([[cell(v) for v in row.values()] for row in rows], list(rows[0]) if rows else []),
        )
        if not rows:
            self.note(none or f"there are no {name} yet")

    @contextmanager
    def progress(self, description: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """A progress bar on stderr; see live_progress.show_bar. Prints nothing without a terminal or with --quiet."""
        if self.quiet or not sys.stderr.isatty():
            yield lambda items: None
            return
        from .live_progress import show_bar

        with show_bar(description, total) as advance:
            yield advance


def table(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
    """Print rows to stdout under column headings. Columns of numbers are right-aligned."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    if not rows:
        return
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for position, name in enumerate(columns):
        numeric = all(_looks_numeric(row[position]) for row in rows)
        grid.add_column(
            visible(name).replace("\n", "\\n"),
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=not sys.stdout.isatty(),
        )
    for row in rows:
        grid.add_row(*(visible(text).replace("\n", "\\n") for text in row))
    width = None if sys.stdout.isatty() else 400  # a pipe has no width to fit
    Console(width=width, highlight=False, markup=False).print(grid)


def cell(value: Any) -> str:
    """The text of a value in a table."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(part) for part in value)
    return str(value)


_NUMBER = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?( %)?( \(reported\))?|-?")


def _looks_numeric(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None
