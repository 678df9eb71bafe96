"""The entry point: a lazy group of commands, signals and exit codes. Imports click and nothing heavier."""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from benchcoe_jobs import __version__
from benchcoe_jobs.errors import BenchcoeError

# name -> (module:attribute, short help). The help stands here so that --help loads no command.
COMMANDS = {
    "quickstart": ("quickstart:quickstart", "See the whole way once, with tiny real experts."),
    "init": ("store:init", "Create the result store, or upgrade it."),
    "doctor": ("doctor:doctor", "Say what is there, what is missing and how to get it."),
    "add-benchmark": ("benchmark:add_benchmark", "Add a benchmark, with its queries."),
    "benchmarks": ("benchmark:benchmarks", "List benchmarks."),
    "add-expert": ("expert:add_expert", "Register an expert, and profile it."),
    "experts": ("expert:experts", "List experts."),
    "retire": ("expert:retire", "Take an expert out of routing, or bring it back."),
    "add-pool": ("expert:add_pool", "Create a pool of experts, or change who is in it."),
    "pools": ("expert:pools", "List pools."),
    "import-results": ("results:import_results", "Import per-query results of an expert."),
    "import-scores": ("results:import_scores", "Import published per-subject scores."),
    "profile": ("profile:profile", "Ask an expert what it has not answered yet."),
    "rescore": ("profile:rescore", "Judge stored responses anew, without an engine."),
    "audit": ("audit:audit", "Look for what is wrong with stored results."),
    "build-labels": ("label:build_labels", "Freeze the best expert per subject or query."),
    "labels": ("label:labels", "List frozen label sets, and which are stale."),
    "train-router": ("router:train_router", "Train a router on the labels."),
    "routers": ("router:routers", "List routers."),
    "evaluate": ("evaluate:evaluate", "Score a router on a benchmark's queries."),
    "experiment": ("experiment:experiment", "Train and evaluate routers over pools, stages and seeds."),
    "whatif": ("whatif:whatif", "What an expert is worth to a pool."),
    "route": ("route:route", "Which expert for this question?"),
    "submit": ("batch:submit", "Route a file of prompts, and write the answers."),
    "results": ("batch:results", "Write what a submitted file has come to so far."),
    "jobs": ("job:jobs", "List jobs, the newest first."),
    "status": ("job:status", "How far a job is, and what failed in it."),
    "watch": ("job:watch", "Follow a job to its end."),
    "cancel": ("job:cancel", "End a job."),
    "retry": ("job:retry", "Do again what failed in a job."),
    "worker": ("worker:worker", "Run shards, and wait for more."),
    "broker": ("broker:broker", "Run a broker on this machine."),
}


class _Terminated(KeyboardInterrupt):
    """SIGTERM, as an exception: open transactions roll back on the way out.

    A KeyboardInterrupt, because psycopg cancels the running statement on no other.
    """


class _Stopped(BaseException):
    """A command was ended by a signal."""

    def __init__(self, how: str, code: int) -> None:
        super().__init__(how)
        self.how = how
        self.code = code


class _ClosedPipe(BaseException):
    """Whoever read the output has heard enough. click would end with 1."""


@contextmanager
def _hears_closed_pipes() -> Iterator[None]:
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise _ClosedPipe from error
    except SystemExit as error:  # rich ends so
        if isinstance(error.__context__, BrokenPipeError):
            raise _ClosedPipe from error
        raise


class LazyGroup(click.Group):
    """Knows its commands by name and imports one only when it is typed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f".{module}", __package__), attribute)
        return command

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _hears_closed_pipes():  # --help is printed here
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> object:
        try:
            with _hears_closed_pipes():
                return super().invoke(ctx)
        except _Terminated as error:
            raise _Stopped("terminated", 143) from error
        except KeyboardInterrupt as error:  # click would print an empty line and forget which signal it was
            raise _Stopped("interrupted", 130) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="benchcoe-jobs")
def main() -> None:
    """Score every expert once, derive who is best at what, and route each question to one expert."""


def execute(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 error, 2 usage, 3 finished with failed
    items, 4 a service or package is missing, 130 interrupted, 143 terminated."""
    try:
        return main(args=arguments, prog_name="benchcoe-jobs", standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BenchcoeError as error:
        return _failed(str(error), error.exit_code, arguments)
    except _Stopped as stop:
        return _failed(f"{stop.how}: the step under way was not stored", stop.code, arguments)
    except (KeyboardInterrupt, click.Abort):  # before any command ran
        return _failed("interrupted", 130, arguments)
    except _ClosedPipe:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again at exit
        return 141
    except OSError as error:  # a disk is full, a folder is no folder: nothing that only we could mend
        about = f"{error.filename}: " if error.filename else ""
        return _failed(f"{about}{error.strerror or error}", 1, arguments)
    except Exception as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        return _failed(f"unexpected {what} (this is a fault of benchcoe-jobs; --debug shows where)", 1, arguments)


def run() -> None:
    """The console script."""
    sys.stdout, sys.stderr = (stream or Path(os.devnull).open("w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):  # a file's name need not be Unicode
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(execute())


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _Terminated


def _failed(message: str, code: int, arguments: Sequence[str] | None) -> int:
    if "--debug" in (sys.argv if arguments is None else arguments):
        traceback.print_exc()
    click.echo(f"Error: {' '.join(message.splitlines())}", err=True)
    return code
