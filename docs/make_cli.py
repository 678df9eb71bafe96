"""Write docs/cli.md from the commands themselves: python docs/make_cli.py

Everything is read from click's own objects at a fixed width, so the terminal plays no part.
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

HEAD = """# Command line

<!-- Written by docs/make_cli.py from the commands. Do not edit. -->

The result goes to stdout, everything else to stderr. A progress bar shows on a terminal only.

## Settings

A flag goes before the environment, the environment before `{config}` in the working folder, and that
before the default.

| setting in `{config}` | environment | default |
|---|---|---|
{settings}

## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | an error; one line says what to do, and `--debug` shows where it happened |
| 2 | usage: an unknown name, option or combination |
| 3 | finished, but with failed items: queries without an answer, undone cells, errors that `audit` found |
| 4 | a needed service or package is missing |
| 130, 143 | interrupted, terminated; the step under way was not stored |
| 141 | the reader of stdout went away |

## Options of every command

{shared}

## Commands

| command | what it does |
|---|---|
{commands}
"""


def reference() -> str:
    """The text of docs/cli.md."""
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
    for field in fields(Settings):
        default = "unset: no broker" if field.default is None else f"`{field.default}`"
        yield f"| `{field.name}` | `BENCHCOE_{field.name.upper()}` | {default} |"


def section(group: click.Context, name: str, shared: list[str]) -> str:
    _, command, _ = main.resolve_command(group, [name])
    if command is None:
        raise LookupError(name)
    context = click.Context(command, info_name=name, parent=group)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    own = [line for line in options(context) if line not in shared]
    parts = [f"### {name}", f"```\n{usage}\n```", inspect.cleandoc(command.help or ""), "\n".join(own)]
    return "\n\n".join(part for part in parts if part) + "\n"


def options(context: click.Context) -> list[str]:
    """One line per option, as --help says it; what stands for a value is part of its name."""
    records = [
        parameter.get_help_record(context)
        for parameter in context.command.get_params(context)
        if isinstance(parameter, click.Option)
    ]
    found = []
    for names, text in (record for record in records if record):
        line = f"- `{re.sub(r' +', ' ', names)}`"
        found.append(f"{line}: {re.sub(r' +', ' ', text)}" if text else line)
    return found


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
