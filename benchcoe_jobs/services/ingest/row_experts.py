"""Find the stored expert of each row of a result file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from benchcoe_jobs.domain import RECORDED, Result, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.services.ingest.import_summary import Earlier, ImportSummary
from benchcoe_jobs.services.ingest.names import expert_name
from benchcoe_jobs.store.results import experts

EVERY_EXPERT = "all"
"""In an import: all experts that the file names."""


class RowExperts:
    """The experts of one import. `ids` are the ids of those that rows may be about, by name.

    The import is about one expert, or about every expert that the file names ("all"); those that are not registered
    are, if `create` is set. A file about one model may call it as it likes if the command names the expert: `alias` is
    that name. All files of the command must then have the same.
    """

    def __init__(
        self, connection: Connection, expert: str, summary: ImportSummary, earlier: Earlier, *, create: bool
    ) -> None:
        self._connection = connection
        self._expert = expert
        self._summary = summary
        self._create = create
        self._earlier = earlier
        # Locked before any benchmark, as in removals, so that neither waits for the other.
        experts.hold_experts(connection, None if expert == EVERY_EXPERT else [expert])
        self._registered = experts.expert_ids(connection)
        self.ids = dict(self._registered)
        if expert != EVERY_EXPERT:
            self.ids = {expert: experts.find_expert(connection, expert)}
        self.alias: str | None = None
        self._names: dict[str, str] = {}
        self._decided = False

    def settle(self, rows: Iterable[Result]) -> list[Result]:
        """The rows with the names of stored experts; None for the expert of the command. Others are skipped."""
        rows = list(rows)
        if self._expert == EVERY_EXPERT:
            return [settled for row in rows if (settled := self._of_every(row)) is not None]
        if not self._decided:
            self._decide(rows)
        return [settled for row in rows if (settled := self._of_one(row)) is not None]

    def _decide(self, rows: Sequence[Result]) -> None:
        """Whether the names in a file are those of experts, or that of one model, which is the expert.

        The first part of the file decides. Raises InputError if neither is true.
        """
        models = list(dict.fromkeys(row.expert for row in rows if row.expert is not None))
        self._decided = bool(models)
        if not models or self._expert in models or self._expert in map(expert_name, models):
            return
        if len(models) > 1:
            raise self._several(models)
        [model] = models
        if expert_name(model) in self._registered:
            return  # its rows are those of another expert
        if self._earlier.model not in (None, model):
            raise InputError(
                f"{self._summary.file}: nothing was imported: it names its model {model!r}, but an earlier file of "
                f"this command names it {self._earlier.model!r}: import-results all takes each for an expert of its own"
            )
        self.alias = model
        self._summary.notes.append(f"the file names its model {model!r}: its results are taken for {self._expert!r}")

    def _several(self, models: Sequence[str]) -> InputError:
        shown = ", ".join(map(repr, models[:5])) + (", ..." if len(models) > 5 else "")
        return InputError(
            f"{self._summary.file}: nothing was imported: it has results of several models ({shown}), none of which is "
            f"called {self._expert!r}: import-results all takes each for the expert of its name, and --create-experts "
            "registers those that are missing"
        )

    def _of_one(self, row: Result) -> Result | None:
        if row.expert is None or row.expert == self._expert:
            return row
        if row.expert == self.alias or (self.alias is None and expert_name(row.expert) == self._expert):
            return row._replace(expert=None)
        if self.alias is not None:
            raise self._several([self.alias, row.expert])
        return self._skip(row, f"a row of another expert: {row.expert!r}; import-results all takes rows of several")

    def _of_every(self, row: Result) -> Result | None:
        if row.expert is None:
            return self._skip(row, "neither the row nor the command names its expert: import-results EXPERT does")
        name = self._names.get(row.expert)
        if name is None:
            name = expert_name(row.expert)
            if name is None or name == EVERY_EXPERT:
                return self._skip(row, f"{row.expert!r} cannot be the name of an expert")
            if name not in self.ids:
                if not self._create:
                    return self._skip(row, f"unknown expert: {row.expert!r}; --create-experts registers it")
                self._register(name)
            self._name(row.expert, name)
        return row if name == row.expert else row._replace(expert=name)

    def _register(self, name: str) -> None:
        experts.add_expert(self._connection, experts.ExpertRow(name, RECORDED))
        self.ids[name] = experts.find_expert(self._connection, name)
        self._summary.created.append(name)

    def _name(self, model: str, name: str) -> None:
        """Remember the name of a model. Raises InputError if another model of the file has it."""
        other = next((known for known, taken in self._names.items() if taken == name), None)
        if other is not None:
            raise InputError(
                f"{self._summary.file}: nothing was imported: its models {other!r} and {model!r} would both be the "
                f"expert {name!r}: rename one of them"
            )
        self._names[model] = name
        if name != model:
            self._summary.notes.append(f"the model {model!r} of the file is the expert {name!r}")

    def _skip(self, row: Result, reason: str) -> Result | None:
        self._summary.skipped.append(SkippedRow(row.line, reason, row.file))
        return None
