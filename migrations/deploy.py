"""Put the views of a schema version in place.

Every view is a file `views/<name>_v<NN>.sql`; a file is never edited once it has been released. A
migration that touches views, or a table under them, states the whole set that holds after it.
Views stand on views and on tables, and neither database alters what something stands on: so all
are dropped, last first, and made again in order. They hold no data, so this costs nothing.
"""

from __future__ import annotations

from importlib.resources import files

from alembic import op


def deploy_views(versions: dict[str, int], *, replacing: dict[str, int] | None = None) -> None:
    """Make the views of `versions` (name -> number, each after the ones that it reads).

    `replacing` is the set of the schema version before, in its own order; it is dropped first.
    """
    for name in reversed(replacing or {}):
        op.execute(f"DROP VIEW {name}")
    for name, number in versions.items():
        op.execute(view_text(name, number))


def view_text(name: str, number: int) -> str:
    """The CREATE VIEW statement of a view's version."""
    return (files("benchcoe_jobs.migrations.views") / f"{name}_v{number:02d}.sql").read_text(encoding="utf-8")
