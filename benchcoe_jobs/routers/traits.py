"""What a kind of router is known for, without a model: the imports of a kind are loaded only if it is asked for."""

from __future__ import annotations

from benchcoe_jobs import registry


def reads_pictures(kind: str) -> bool:
    """Whether the routers of a kind read the pictures of a question. The attribute is optional: most kinds do not."""
    return bool(getattr(registry.load("routers", kind), "reads_pictures", False))


def asks_in_stages(kind: str) -> bool:
    """Whether the routers of a kind look at an answer before they ask a further expert. The attribute is optional."""
    return bool(getattr(registry.load("routers", kind), "asks_in_stages", False))
