"""The entry point: the group of commands, signals and exit codes. Imports no third-party package but click."""

from __future__ import annotations

import difflib
import importlib
import io
import logging
import os
import select
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from benchcoe_jobs import __version__
from benchcoe_jobs.errors import BenchcoeError
from benchcoe_jobs.masking import masked
from benchcoe_jobs.safe_logging import make_safe

from .output import echo_block, echo_error

# name -> (module:attribute, short help). The help is stored here so that --help imports no command.
COMMANDS = {
    "quickstart": ("quickstart:quickstart", "Run the whole workflow once, with tiny real models."),
    "init": ("store:init", "Create the result store, or upgrade it."),
    "doctor": ("doctor:doctor", "Check the installation, the store, broker and workers."),
    "add-benchmark": ("benchmark:add_benchmark", "Add a benchmark and its queries."),
    "add-subjects": ("subjects:add_subjects", "Divide questions without subjects into clusters."),
    "benchmarks": ("benchmark:benchmarks", "List benchmarks."),
    "add-expert": ("expert:add_expert", "Register an expert and profile it."),
    "experts": ("expert:experts", "List experts."),
    "retire": ("expert:retire", "Take an expert out of routing, or restore it."),
    "add-pool": ("expert:add_pool", "Create a pool of experts, or change its members."),
    "pools": ("expert:pools", "List pools."),
    "import-results": ("results:import_results", "Import an expert's per-query results."),
    "import-scores": ("results:import_scores", "Import published per-subject scores."),
    "imports": ("imports:imports", "List what was imported, from which files."),
    "profile": ("profile:profile", "Ask an expert the queries that it has not answered yet."),
    "verify-expert": ("verify_expert:verify_expert", "Ask stored questions again: is it still the same expert?"),
    "rescore": ("profile:rescore", "Score stored responses again, without an engine."),
    "audit": ("audit:audit", "Find faults in stored results, and repair them."),
    "build-labels": ("label:build_labels", "Freeze the best expert per subject or query."),
    "labels": ("label:labels", "List frozen label sets, with their numbers of stale labels."),
    "train-router": ("router:train_router", "Train a router on the labels."),
    "routers": ("router:routers", "List routers."),
    "evaluate": ("evaluate:evaluate", "Measure a router on a benchmark's queries."),
    "verify-seal": ("seal:verify_seal", "Check decisions against a seal."),
    "experiment": ("experiment:experiment", "Train and evaluate routers over pools, protocols and seeds."),
    "whatif": ("whatif:whatif", "Estimate what an expert adds to a pool."),
    "worth": ("worth:worth", "Estimate whether a router would pay, before you train one."),
    "report": ("report:report", "Write a report that can be forwarded."),
    "route": ("route:route", "Choose the expert for a question."),
    "serve": ("serve:serve", "Serve the pool as one model of an OpenAI-compatible API."),
    "policy-estimate": (
        "policy_estimate:policy_estimate",
        "Estimate the scores of other policies on served traffic.",
    ),
    "export": ("export:export", "Write scores, labels and decisions for another program."),
    "submit": ("batch:submit", "Route a file of prompts and write the answers."),
    "results": ("batch:results", "Write the results of a submitted file."),
    "jobs": ("job:jobs", "List jobs, newest first."),
    "status": ("job:status", "Show the progress of a job and what failed in it."),
    "watch": ("job:watch", "Follow a job to its end."),
    "cancel": ("job:cancel", "Cancel a job."),
    "retry": ("job:retry", "Continue a job that failed or was cancelled."),
    "remove": ("remove:remove", "Remove stored data for good."),
    "worker": ("worker:worker", "Run workers, which execute the shards of jobs."),
    "broker": ("broker:broker", "Run a broker on this machine."),
}


class _Terminated(KeyboardInterrupt):
    """SIGTERM as an exception, so that open transactions are rolled back.

    It is a KeyboardInterrupt because psycopg cancels the running statement only for that exception.
    """


class _Stopped(BaseException):
    """A signal ended a command. `state` is "terminated" or "interrupted"; `code` is the exit code."""

    def __init__(self, state: str, code: int) -> None:
        super().__init__(state)
        self.state = state
        self.code = code


class _ClosedPipe(BaseException):
    """The reader of stdout closed it. click would exit with code 1."""


@contextmanager
def _detect_closed_pipe() -> Iterator[None]:
    """Raise _ClosedPipe if stdout cannot be written."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise _ClosedPipe from error
    except SystemExit as error:  # rich exits in this way
        if isinstance(error.__context__, BrokenPipeError):
            raise _ClosedPipe from error
        raise


class LazyGroup(click.Group):
    """A group that imports a command only when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f".{module}", __package__), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See `click.Group.resolve_command`. An unknown command is compared with the known ones."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            begun = [name for name in COMMANDS if name.startswith(args[0])]
            close = begun or difflib.get_close_matches(args[0], COMMANDS, n=2, cutoff=0.7)
            hint = f"Did you mean {' or '.join(close)}?" if close else "benchcoe-jobs --help lists the commands."
            ctx.fail(f"No such command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _detect_closed_pipe():  # prints --help
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> object:
        try:
            with _detect_closed_pipe():
                return super().invoke(ctx)
        except _Terminated as error:
            raise _Stopped("terminated", 143) from error
        except KeyboardInterrupt as error:  # click would print an empty line and lose the signal
            raise _Stopped("interrupted", 130) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="benchcoe-jobs")
def main() -> None:
    """Score every expert once, label the best expert per subject or query, and route each question to one expert."""


def execute(
    arguments: Sequence[str] | None = None, *, stopped: Callable[[int, str], object] = lambda code, message: None
) -> int:
    """Run one command and return its exit code.

    As soon as a signal has ended the command, `stopped` is called with the exit code and the message to be printed.

    0: done. 1: error. 2: usage error. 3: finished, but some items failed. 4: a service or package is missing.
    130: interrupted. 143: terminated. 141: stdout was closed.
    """
    try:
        return main(args=arguments, prog_name="benchcoe-jobs", standalone_mode=False) or 0
    except click.ClickException as error:
        return _failed_usage(error)
    except BenchcoeError as error:
        return _failed(str(error), error.exit_code, arguments)
    except _Stopped as stop:
        message = f"{stop.state}: the current step was not stored"
        stopped(stop.code, message)
        return _failed(message, stop.code, arguments)
    except (KeyboardInterrupt, click.Abort):  # before a command started
        stopped(130, "interrupted")
        return _failed("interrupted", 130, arguments)
    except _ClosedPipe:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would report it again
        return 141
    except OSError as error:  # for example a full disk: not a bug of this program
        return _failed(_described(error), 1, arguments)
    except Exception as error:
        what = masked(f"{type(error).__name__}: {error}").splitlines()[0]
        return _failed(f"unexpected {what} (this is a bug in benchcoe-jobs; --debug shows the traceback)", 1, arguments)


def run() -> None:
    """The console script."""
    sys.stdout, sys.stderr = (stream or Path(os.devnull).open("w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):  # file names may be invalid Unicode
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    make_safe(logging.getLogger())
    if not sys.warnoptions:  # those of libraries, on how they are called: python -W default shows them
        warnings.simplefilter("ignore")
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
        signal.signal(signal.SIGHUP, _terminate)  # the terminal closed
    try:
        code = execute(stopped=_exit_at_next_signal)
    except KeyboardInterrupt as error:  # a second signal, just before `stopped`
        state, code = ("terminated", 143) if isinstance(error, _Terminated) else ("interrupted", 130)
        message = f"{state}: the current step was not stored"
        _exit_at_next_signal(code, message)
        _failed(message, code, None)
    _exit_at_next_signal(130, "")
    sys.exit(code)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _Terminated


def _exit_at_next_signal(code: int, message: str) -> None:
    """From now on a signal ends the process, without a traceback. Nothing is left to be stored or given back.

    The signal may come before `message` is printed. Then it is printed here, unless stderr cannot be written.
    """

    def leave(_signal: int, _frame: FrameType | None) -> NoReturn:
        with suppress(OSError, ValueError):
            stderr = sys.stderr.fileno()  # the stream itself may be in use
            if message and select.select([], [stderr], [], 0)[1]:
                os.write(stderr, f"Error: {message}\n".encode())
        os._exit(code)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)


def _described(error: OSError) -> str:
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))]
    prefix = f"{' -> '.join(names)}: " if names else ""
    return f"{prefix}{error.strerror or error}"


def _failed(message: str, code: int, arguments: Sequence[str] | None) -> int:
    with suppress(OSError):  # stderr may be a closed pipe or on a full disk
        if "--debug" in (sys.argv if arguments is None else arguments):
            echo_block(traceback.format_exc())
        echo_error(f"Error: {message}")
    return code


def _failed_usage(error: click.ClickException) -> int:
    """Print an error of click: the usage of the command, and the message."""
    text = io.StringIO()
    error.show(text)
    echo_block(text.getvalue())
    return error.exit_code
