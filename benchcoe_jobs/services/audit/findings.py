"""The findings of an audit."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """An error makes figures wrong, a warning may make them wrong, a note is for information."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem in stored results. `command` repairs it, or shows more for a note. `keys` are those of its queries."""

    severity: Severity
    kind: str
    benchmark: str
    expert: str | None
    what: str
    command: str
    keys: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The finding as one JSON object."""
        return asdict(self)
