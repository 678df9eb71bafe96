"""Write docs/cli.md from the definitions of the commands: python docs/make_cli.py

The help is formatted at a fixed width, so the output does not depend on the terminal.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click

from benchcoe_jobs.cli.command import Command
from benchcoe_jobs.cli.main import COMMANDS, main
from benchcoe_jobs.settings import CONFIG_FILE, Settings

TARGET = Path(__file__).with_name("cli.md")
WIDTH = 80
DEFAULTS = {
    "broker_url": "unset: no broker",
    "home": "`.benchcoe` beside a SQLite store; for PostgreSQL `~/.local/share/benchcoe`",
}

HEAD = """# Command line

<!-- Written by docs/make_cli.py from the commands. Do not edit. -->

Results are written to stdout; notes, errors and progress are written to stderr. Progress bars are shown only on a
terminal. With `--json`, stdout contains one JSON object (`route`: one per question).

## Settings

A setting is read from the first of these places that has it: the flag, the environment variable, `{config}` in the
current folder, the default.

| setting in `{config}` | environment | default |
|---|---|---|
{settings}

## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | an error; the message is one line, and `--debug` shows the traceback |
| 2 | a usage error: an unknown name, an unknown option or an invalid combination |
| 3 | finished, but some items failed: queries without an answer, failed trials, or errors found by `audit` |
| 4 | a required service or package is missing |
| 130, 143 | interrupted, terminated; the current step was not stored |
| 141 | the reader of stdout closed it |

## Common options

`quickstart` creates its own store and `verify-seal` needs none: they have no `--database-url` and no `--home`.

{shared}

## Commands

| command | summary |
|---|---|
{commands}
"""


def reference() -> str:
    """Return the text of docs/cli.md."""
    width = {"terminal_width": WIDTH, "max_content_width": WIDTH}
    group = click.Context(main, info_name="benchcoe-jobs", **width, **main.context_settings)
    context = click.Context(Command("any"), info_name="any", parent=group)
    shared = options(context)
    head = HEAD.format(
        config=CONFIG_FILE,
        settings="\n".join(settings()),
        shared="\n".join(shared),
        commands="\n".join(f"| [`{name}`](#{name}) | {summary} |" for name, (_, summary) in COMMANDS.items()),
    )
    return "\n".join([head, *(section(group, name, shared) for name in COMMANDS)])


def settings() -> Iterator[str]:
    """Yield one row of the table for each setting."""
    for field in fields(Settings):
        default = DEFAULTS.get(field.name, f"`{field.default}`")
        yield f"| `{field.name}` | `BENCHCOE_{field.name.upper()}` | {default} |"


def section(group: click.Context, name: str, shared: list[str]) -> str:
    """Return the section of one command, without the common options."""
    _, command, _ = main.resolve_command(group, [name])
    if command is None:
        raise LookupError(name)
    context = click.Context(command, info_name=name, parent=group)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    own = [line for line in options(context) if line not in shared]
    parts = [f"### {name}", f"```\n{usage}\n```", inspect.cleandoc(command.help or ""), "\n".join(own)]
    return "\n\n".join(part for part in parts if part) + "\n"


def options(context: click.Context) -> list[str]:
    """Return one line per option with the text of --help. The metavar of a value is part of the option's name."""
    records = [
        parameter.get_help_record(context)
        for parameter in context.command.get_params(context)
        if isinstance(parameter, click.Option)
    ]
    lines = []
    for names, text in (record for record in records if record):
        line = f"- `{re.sub(r' +', ' ', names)}`"
        lines.append(f"{line}: {re.sub(r' +', ' ', text)}" if text else line)
    return lines


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
