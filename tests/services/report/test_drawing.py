"""The drawings: their texts, and that figures without a spread can be drawn."""

from __future__ import annotations

from xml.etree import ElementTree

from benchcoe_jobs.services.report.drawing import Dot, Mark, cost_plane, dot_rows


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter() if element.text]  # noqa: S314


def test_a_ruler_names_its_dots_and_describes_them() -> None:
    svg = dot_rows([Dot("<b>", 0.5, 0.4, 0.6, "baseline"), Dot("r", 0.7, None, None, "router")], "Accuracies", "k")
    found = texts(svg)
    assert found[:2] == ["Accuracies", "<b>: 50.0 %; r: 70.0 %"]
    assert {"<b>", "50.0 %", "r", "70.0 %", "60 %"} <= set(found)
    assert 'aria-labelledby="k-title k-desc"' in svg


def test_equal_values_are_drawn_in_the_middle() -> None:
    svg = cost_plane([Mark("1", 2.0, 0.5, "expert"), Mark("r", 2.0, 0.5, "router")], [(2.0, 0.5)], [], "k")
    assert {"1", "r", "50 %", "2"} <= set(texts(svg))
    assert "nan" not in svg
