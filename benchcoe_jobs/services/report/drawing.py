"""Drawings of a report: inline SVG, whose colours are those of the page's classes and whose texts are real texts.

Every drawing has a title and a description, and repeats figures of a table beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from benchcoe_jobs.characters import visible
from benchcoe_jobs.wording import percent

WIDTH = 720.0
_ROW = 26.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 24.0, 12.0, 44.0
_LONGEST = 38


@dataclass(frozen=True, slots=True)
class Dot:
    """A dot on the ruler of accuracies, with its 95 % interval if it is known; `kind` is a class of the page."""

    name: str
    value: float
    low: float | None
    high: float | None
    kind: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark in the plane of cost and accuracy: a number or a name, and a class of the page."""

    name: str
    cost: float
    accuracy: float
    kind: str


def dot_rows(dots: Sequence[Dot], title: str, key: str) -> str:
    """One row for each dot, in the given order: its name, its interval and its value. `key` makes ids unique."""
    height = _TOP + _ROW * len(dots) + _BOTTOM
    svg = _svg(height, key, title, "; ".join(f"{dot.name}: {percent(dot.value)}" for dot in dots))
    left = 300.0
    low = min(min(dot.value, *_ends(dot)) for dot in dots)
    high = max(max(dot.value, *_ends(dot)) for dot in dots)
    scale = _Scale(low, high, left, WIDTH - _RIGHT - 76)
    _ticks(svg, scale, height, percents=True)
    for number, dot in enumerate(dots):
        y = _TOP + _ROW * (number + 0.5)
        _text(svg, left - 12, y + 4, _shortened(dot.name), anchor="end")
        if dot.low is not None and dot.high is not None:
            _line(svg, scale.at(dot.low), y, scale.at(dot.high), y, f"bar {dot.kind}")
        SubElement(svg, "circle", _numbers(cx=scale.at(dot.value), cy=y, r=5) | {"class": f"dot {dot.kind}"})
        _text(svg, WIDTH - _RIGHT, y + 4, percent(dot.value), anchor="end")
    return _written(svg)


def _ends(dot: Dot) -> tuple[float, float]:
    return (dot.value if dot.low is None else dot.low, dot.value if dot.high is None else dot.high)


def cost_plane(
    marks: Sequence[Mark], hull: Sequence[tuple[float, float]], curve: Sequence[tuple[float, float]], key: str
) -> str:
    """Accuracy against cost: marks, the hull of single experts and the curve of a router, both as (cost, accuracy)."""
    height = 400.0
    title = "Accuracy against cost"
    said = "; ".join(f"{mark.name}: {percent(mark.accuracy)} at {mark.cost:.4g}" for mark in marks)
    svg = _svg(height, key, title, said)
    costs = [mark.cost for mark in marks] + [cost for cost, _ in (*hull, *curve)]
    accuracies = [mark.accuracy for mark in marks] + [accuracy for _, accuracy in (*hull, *curve)]
    across = _Scale(min(costs), max(costs), _LEFT + 12, WIDTH - _RIGHT - 60)
    up = _Scale(min(accuracies), max(accuracies), height - _BOTTOM - 12, _TOP + 12)
    _ticks(svg, across, height, percents=False)
    for value in up.ticks():
        _line(svg, _LEFT, up.at(value), WIDTH - _RIGHT, up.at(value), "grid")
        _text(svg, _LEFT - 8, up.at(value) + 4, percent(value, 0), anchor="end")
    _text(svg, (_LEFT + WIDTH - _RIGHT) / 2, height - 6, "mean cost of a query", anchor="middle")
    for points, kind in ((hull, "hull"), (sorted(curve), "curve")):
        if len(points) > 1:
            path = " ".join(f"{across.at(cost):.1f},{up.at(accuracy):.1f}" for cost, accuracy in points)
            SubElement(svg, "polyline", {"points": path, "class": kind})
    for mark in marks:
        x, y = across.at(mark.cost), up.at(mark.accuracy)
        if mark.kind == "router":
            SubElement(svg, "path", {"d": f"M{x:.1f} {y - 7:.1f}l7 7l-7 7l-7-7z", "class": "dot router"})
        else:
            SubElement(svg, "circle", _numbers(cx=x, cy=y, r=4) | {"class": f"dot {mark.kind}"})
        _text(svg, x + 8, y - 6, _shortened(mark.name))
    return _written(svg)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Values from `low` to `high` at coordinates from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self) -> Iterable[float]:
        """Three to seven round values."""
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        power = 10.0 ** int(f"{span:e}".partition("e")[2])
        step = next(part * power for part in (0.1, 0.2, 0.5, 1.0, 2.0) if span / (part * power) <= 7)
        first = -(-self.low // step)
        return [(first + n) * step for n in range(8) if (first + n) * step <= self.high]


def _svg(height: float, key: str, title: str, description: str) -> Element:
    svg = Element(
        "svg",
        {
            "viewBox": f"0 0 {WIDTH:g} {height:g}",
            "role": "img",
            "aria-labelledby": f"{key}-title {key}-desc",
            "class": "drawing",
        },
    )
    SubElement(svg, "title", {"id": f"{key}-title"}).text = visible(title)
    SubElement(svg, "desc", {"id": f"{key}-desc"}).text = visible(_cut(description, 4000))
    return svg


def _ticks(svg: Element, scale: _Scale, height: float, *, percents: bool) -> None:
    """Vertical grid lines with their values under them."""
    for value in scale.ticks():
        _line(svg, scale.at(value), _TOP, scale.at(value), height - _BOTTOM, "grid")
        shown = percent(value, 0) if percents else f"{value:.3g}"
        _text(svg, scale.at(value), height - _BOTTOM + 18, shown, anchor="middle")


def _line(svg: Element, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
    SubElement(svg, "line", _numbers(x1=x1, y1=y1, x2=x2, y2=y2) | {"class": kind})


def _text(svg: Element, x: float, y: float, text: str, *, anchor: str = "start") -> None:
    # A name from right to left does not reorder the texts beside it: each is an element of its own.
    SubElement(svg, "text", _numbers(x=x, y=y) | {"text-anchor": anchor}).text = visible(text)


def _numbers(**values: float) -> dict[str, str]:
    return {name: f"{value:.1f}" for name, value in values.items()}


def _shortened(name: str) -> str:
    return _cut(name, _LONGEST)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _written(svg: Element) -> str:
    return ElementTree.tostring(svg, encoding="unicode")
