"""Runs whose answers hold thoughts of a reasoning model say so in their provenance.

Earlier releases stored thoughts within answers, and scored them. From now on an expert is asked without them unless its
setting `reasoning` is `keep`, which then is in the provenance. A run whose answers hold none is the same either way and
stays valid. One whose answers hold some gets the provenance of an expert that keeps them, so that the next `profile`
asks those questions again. No response is changed.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TAGS = ("</think>", "</thinking>", "</thought>", "</thoughts>", "</reasoning>", "[/THINK]", "◁/think▷", "<think>")

run = sa.table(
    "run",
    sa.column("id", sa.Integer),
    sa.column("fingerprint", sa.String),
    sa.column("expert_id", sa.Integer),
    sa.column("benchmark_id", sa.Integer),
    sa.column("provenance", sa.JSON),
)
response = sa.table("response", sa.column("run_id", sa.Integer), sa.column("text", sa.Text))
expert = sa.table("expert", sa.column("id", sa.Integer), sa.column("name", sa.String))
benchmark = sa.table("benchmark", sa.column("id", sa.Integer), sa.column("name", sa.String))


def upgrade() -> None:
    has_thoughts = sa.exists().where(
        response.c.run_id == run.c.id, sa.or_(*(response.c.text.contains(tag, autoescape=True) for tag in TAGS))
    )
    for row in _profiled(has_thoughts):
        _set_engine(row, row.provenance["engine"] | {"reasoning": "keep"})


def downgrade() -> None:
    for row in _profiled(sa.true()):
        if row.provenance["engine"].get("reasoning") == "keep":
            _set_engine(row, {key: value for key, value in row.provenance["engine"].items() if key != "reasoning"})


def _profiled(condition: Any) -> list[Any]:
    """The runs of experts that were asked here; imports and repairs have no engine in their provenance."""
    rows = op.get_bind().execute(
        sa.select(run, expert.c.name.label("expert"), benchmark.c.name.label("benchmark"))
        .join(expert, expert.c.id == run.c.expert_id)
        .join(benchmark, benchmark.c.id == run.c.benchmark_id)
        .where(condition)
    )
    return [row for row in rows.all() if isinstance(row.provenance.get("engine"), dict)]


def _set_engine(row: Any, engine: dict[str, str]) -> None:
    """Store the provenance and the fingerprint that follows from it, unless another run has it already."""
    provenance = row.provenance | {"engine": engine}
    content = json.dumps([row.expert, row.benchmark, provenance], sort_keys=True)
    fingerprint = hashlib.sha256(content.encode()).hexdigest()
    if op.get_bind().scalar(sa.select(run.c.id).where(run.c.fingerprint == fingerprint)) is None:
        values = {"provenance": provenance, "fingerprint": fingerprint}
        op.execute(sa.update(run).where(run.c.id == row.id).values(values))
