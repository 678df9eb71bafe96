"""The entry point: suggestions for mistyped commands, and signals during a message."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import warnings

import pytest
from console import Cli, accept_interrupts

from benchcoe_jobs.cli import main as entry


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("inti", "No such command 'inti'. Did you mean init?"),
        ("build-label --level subject", "Did you mean build-labels?"),
        ("trainrouter x", "Did you mean train-router"),
        ("import", "Did you mean import-"),
        ("zzzz", "No such command 'zzzz'. benchcoe-jobs --help lists the commands."),
        ("experts --databse-url x", "No such option '--databse-url'. Did you mean '--database-url'?"),
        ("add-expert x --engine opena", "'opena' is not one of"),
    ],
)
def test_a_mistyped_command_or_option_gets_a_suggestion(line: str, hint: str, cli: Cli) -> None:
    ended = cli(line)
    assert ended.code == 2
    assert hint in ended.err


@pytest.mark.parametrize("second", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_second_signal_during_the_message_of_the_first(second: str) -> None:
    code = f"""
import os, signal
from benchcoe_jobs.cli import main as entry

def interrupted(**_):
    raise entry._Stopped("interrupted", 130)

print_message = entry.echo_error

def during_the_message(message):
    os.kill(os.getpid(), signal.{second})
    print_message(message)

entry.main, entry.echo_error = interrupted, during_the_message
entry.run()
"""
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=accept_interrupts)
    assert (ended.returncode, ended.stderr) == (130, "Error: interrupted: the current step was not stored\n")


def test_a_signal_between_a_command_and_its_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**_: object) -> int:
        raise entry._Terminated

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(entry, "execute", interrupted)
    try:
        with pytest.raises(SystemExit) as ended:
            entry.run()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert ended.value.code == 143
    assert capsys.readouterr().err == "Error: terminated: the current step was not stored\n"


@pytest.mark.parametrize("options", [[], ["error"]])
def test_warnings_of_libraries_are_shown_on_request(options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(**_: object) -> int:
        warnings.warn("another library says", FutureWarning, stacklevel=1)
        return 0

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(entry, "execute", warn)
    monkeypatch.setattr(sys, "warnoptions", options)
    try:
        with warnings.catch_warnings(), pytest.raises(FutureWarning if options else SystemExit):
            entry.run()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_errors_of_the_system_name_both_files(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "a", None, "b")

    monkeypatch.setattr(entry, "main", fail)
    assert entry.execute([]) == 1
    assert capsys.readouterr().err == "Error: a -> b: No space left on device\n"


def test_a_bug_is_reported_without_the_secrets_of_its_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> int:
        raise ValueError("cannot use postgresql://ann:hunter2@db/x\nsecond line")

    monkeypatch.setattr(entry, "main", fail)
    assert entry.execute(["--debug"]) == 1
    shown = capsys.readouterr().err
    assert "hunter2" not in shown
    assert shown.endswith(
        "Error: unexpected ValueError: cannot use postgresql://ann:***@db/x (this is a bug in benchcoe-jobs; "
        "--debug shows the traceback)\n"
    )
