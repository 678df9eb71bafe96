"""YAML of configurations."""

from __future__ import annotations

from typing import Any

import yaml

from benchcoe_jobs.characters import UNSAFE


def yaml_text(config: dict[str, Any], heading: str) -> bytes:
    """A configuration as UTF-8 YAML under a comment of one line."""
    text: str = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120)
    if UNSAFE.search(text):
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=False, width=120)
    return f"# {heading}\n{text}".encode()
