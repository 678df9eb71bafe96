"""The protocol of exporters, what a command asks them for, and where their files go."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from benchcoe_jobs.domain import Policy
from benchcoe_jobs.store.session import Store

_EXPORTERS = {
    "every-eval-ever": "every_eval_ever:EVERY_EVAL_EVER",
    "litellm": "litellm:LITELLM",
    "llmrouter": "llmrouter:LLMROUTER",
    "llmrouterbench": "llmrouterbench:LLMROUTERBENCH",
    "openai-batch": "openai_batch:OPENAI_BATCH",
    "routerarena": "routerarena:ROUTERARENA",
    "table": "table:TABLE",
    "vllm-sr": "vllm_sr:VLLM_SR",
}

FORMATS = tuple(sorted(_EXPORTERS))
"""The names of the formats."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What the command line says; None or empty where it says nothing.

    A router brings its pool, benchmark, split and policy. `options` has the values of options that only some formats
    have, by name.
    """

    router: str | None = None
    pool: str | None = None
    benchmark: str | None = None
    split: str | None = None
    policy: Policy | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: one line, figures for --json, and notes."""

    summary: str
    figures: Mapping[str, Any]
    notes: tuple[str, ...] = ()


class Output(Protocol):
    """Where an exporter writes."""

    suffix: str
    """The suffix of the file that the user named, in lower case with its dot; empty for standard output."""

    def create(self, name: str = "") -> AbstractContextManager[IO[bytes]]:
        """A new file to write. An exporter of a folder names it, relative to the folder."""
        ...


class Exporter(Protocol):
    """Writes one format."""

    options: frozenset[str]
    """The options that the format has, of `ExportRequest.options`; "policy" if it writes subject labels."""

    def is_folder(self, request: ExportRequest) -> bool:
        """Whether it writes a folder of several files, rather than one file."""
        ...

    def write(self, store: Store, home: Path, request: ExportRequest, output: Output) -> Exported:
        """Write the files. Raises UsageError and InputError; nothing remains of the files then."""
        ...


def exporter(name: str) -> Exporter:
    """The exporter of a format, by a name of FORMATS."""
    module, _, attribute = _EXPORTERS[name].partition(":")
    found: Exporter = getattr(importlib.import_module(f"{__package__}.{module}"), attribute)
    return found
