"""Deploy the views of a schema revision.

Every view is a file `views/<name>_v<NN>.sql`. A released file is never edited. A migration that changes views, or
tables that views read, states the complete set of views after it. Views depend on views and tables, and neither
database alters what a view depends on, so all views are dropped in reverse order and created again. They hold no
data, so this is cheap.
"""

from __future__ import annotations

from importlib.resources import files

from alembic import op


def deploy_views(versions: dict[str, int], *, replacing: dict[str, int] | None = None) -> None:
    """Create the views of `versions`: name -> number, each after the views that it reads.

    `replacing` is the set of views before, in its own order. They are dropped first.
    """
    for name in reversed(replacing or {}):
        op.execute(f"DROP VIEW {name}")
    for name, number in versions.items():
        op.execute(view_text(name, number))


def view_text(name: str, number: int) -> str:
    """The CREATE VIEW statement of a version of a view."""
    return (files("benchcoe_jobs.migrations.views") / f"{name}_v{number:02d}.sql").read_text(encoding="utf-8")
