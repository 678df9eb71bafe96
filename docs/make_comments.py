"""Write migrations/comments.sql from docs/store.md: python docs/make_comments.py

`init` comments the tables, views and columns of a PostgreSQL database with it. SQLite has no comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).with_name("store.md")
TARGET = Path(__file__).parents[1] / "migrations" / "comments.sql"

HEAD = "-- Written by docs/make_comments.py from docs/store.md. Do not edit.\n"


def comments() -> str:
    """Return the statements."""
    tables, _, rest = SOURCE.read_text(encoding="utf-8").partition("\n## Views\n")
    views = rest.partition("\n## Examples\n")[0]
    return "".join([HEAD, *statements("TABLE", tables), *statements("VIEW", views)])


def statements(kind: str, text: str) -> Iterator[str]:
    """Yield the statements of the sections about tables, or about views."""
    for name, section in re.findall(r"^### `(\w+)`\n(.*?)(?=^###? |\Z)", text, re.MULTILINE | re.DOTALL):
        about, _, rows = section.partition("\n| column |")
        yield f"COMMENT ON {kind} {name} IS {literal(about)};\n"
        for column, meaning in re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]*)\|$", rows, re.MULTILINE):
            if meaning.strip():
                yield f"COMMENT ON COLUMN {name}.{column} IS {literal(meaning)};\n"


def literal(markdown: str) -> str:
    """Return a text as a literal of SQL: links become their words, and lines are joined."""
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", markdown).replace("`", "")
    return "'" + " ".join(text.split()).replace("'", "''") + "'"


if __name__ == "__main__":
    TARGET.write_text(comments(), encoding="utf-8")
