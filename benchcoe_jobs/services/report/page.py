"""The page of a report: one HTML file with its style, its script and its figures, which asks no server for anything.

jinja2 escapes every text; names and findings come from files of others. The content security policy names the SHA-256
of the style and of the script, so that no other one is applied or run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from importlib.util import find_spec
from typing import Any

from benchcoe_jobs.characters import visible
from benchcoe_jobs.errors import MissingError
from benchcoe_jobs.services.report.drawing import Dot, Mark, cost_plane, dot_rows
from benchcoe_jobs.services.report.figures import Figures
from benchcoe_jobs.services.report.routers import Stage
from benchcoe_jobs.wording import counted, percent

_LONGEST_TEXT, _LONGEST_NAME = 1000, 120
"""Longer ones are cut on the page; the JSON in it has them whole."""

_STEPS = 10
"""The colours of the heat map: one for ten points each."""


def require_jinja() -> None:
    """Raise MissingError without jinja2. Called before the figures are computed."""
    if find_spec("jinja2") is None:
        raise MissingError("a report needs jinja2: pip install 'benchcoe-jobs[report]'")


def page(figures: Figures) -> str:
    """The report as HTML. Raises MissingError as `require_jinja` does."""
    require_jinja()
    from jinja2 import Environment
    from markupsafe import Markup

    style, script, template = (_part(name) for name in ("style.css", "script.js", "page.html.jinja"))

    def printed(value: Any) -> Any:
        """What an expression of the template is printed as: a text without control characters, and not too long."""
        if isinstance(value, str) and not isinstance(value, Markup):
            return visible(_cut(value, _LONGEST_TEXT))
        return value

    environment = Environment(autoescape=True, finalize=printed, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "percent": percent,
        "points": _points,
        "number": _number,
        "step": _step,
        "interval": _interval,
        "short": lambda name: _cut(name, _LONGEST_NAME),
    }
    return environment.from_string(template).render(
        figures=figures,
        content=figures.as_json(),
        notes=_notes(figures),
        style=Markup(style),  # noqa: S704 -- a file of this package
        script=Markup(script),  # noqa: S704
        style_hash=_hash(style),
        script_hash=_hash(script),
        ruler=Markup(_ruler(figures)),  # noqa: S704 -- written by ElementTree, which escapes
        plane=Markup(_plane(figures)),  # noqa: S704
        counted=counted,
    )


def _part(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def _ruler(figures: Figures) -> str:
    """The accuracies that routers, experts and oracles reach on the tested split, lowest first."""
    dots = [Dot(row.name, row.accuracy, row.low, row.high, "baseline") for row in figures.experts.reached]
    dots += [Dot(f"router {stage.router}", stage.accuracy, None, None, "router") for stage in _tested(figures)]
    dots.sort(key=lambda dot: dot.value)
    return dot_rows(dots, f"Accuracies on split {figures.experts.split}", "ruler") if dots else ""


def _plane(figures: Figures) -> str:
    """Accuracy against cost; empty if the costs of the experts are unknown."""
    placed = {
        expert.expert: (str(rank), expert.compared_cost, expert.compared_accuracy)
        for rank, expert in enumerate(figures.experts.experts, 1)
        if expert.compared_cost is not None and expert.compared_accuracy is not None
    }
    hull = [placed[name][1:] for name in figures.experts.hull]
    if not hull:
        return ""
    marks = [Mark(*place, "expert") for place in placed.values()]
    priced = [stage for stage in _tested(figures) if stage.cost is not None]
    marks += [Mark(stage.router, stage.cost, stage.accuracy, "router") for stage in priced if stage.cost is not None]
    return cost_plane(marks, hull, priced[0].curve if priced else [], "plane")


def _tested(figures: Figures) -> list[Stage]:
    """The evaluations on the very queries that the experts are compared on, of routers not trained on them."""
    where = (figures.benchmark, figures.experts.split, figures.experts.n)
    return [
        stage for stage in figures.stages if (stage.benchmark, stage.split, stage.n) == where and not stage.is_in_sample
    ]


def _notes(figures: Figures) -> dict[str, list[str]]:
    """The notes on evaluations, each once, with the evaluations that it is about."""
    found: dict[str, list[str]] = {}
    for stage in figures.stages:
        for warning in stage.warnings:
            found.setdefault(warning.removesuffix("."), []).append(f"{stage.router} on split {stage.split}")
    return found


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _points(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:+.1f}"


def _interval(gain: Mapping[str, float] | None) -> str:
    return "–" if gain is None else f"{100 * gain['value']:+.2f} [{100 * gain['low']:+.2f}, {100 * gain['high']:+.2f}]"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _step(fraction: float) -> int:
    """The colour of a fraction in the heat map."""
    return min(_STEPS - 1, max(0, int(fraction * _STEPS)))
