"""The page of a report: its size, what it loads, and texts of others in it. test_in_chromium.py opens it."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import re
from html.parser import HTMLParser

import pytest
import report_worlds
from needs import skip_or_fail

from benchcoe_jobs.errors import MissingError
from benchcoe_jobs.services.report import page as page_module
from benchcoe_jobs.services.report.page import page


@pytest.fixture(autouse=True)
def _jinja() -> None:
    if importlib.util.find_spec("jinja2") is None:
        skip_or_fail("jinja2 is not installed")


class _Elements(HTMLParser):
    """All start tags with their attributes, and the texts of script elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.cdata_elem == "script":
            self.scripts.append(data)


def test_29_experts_and_14_subjects_are_within_500_kb_and_load_nothing() -> None:
    html = page(report_worlds.figures(29, 14))
    assert len(html.encode()) <= 500_000
    tags = _Elements(html).tags
    names = {name for _, attributes in tags for name in attributes}
    assert names.isdisjoint({"src", "srcset", "style", "data", "action", "formaction", "background", "poster"})
    assert not [name for name in names if name.startswith("on")]
    assert all((attributes["href"] or "").startswith("#") for _, attributes in tags if "href" in attributes)
    assert {tag for tag, _ in tags}.isdisjoint({"link", "img", "iframe", "object", "embed", "base", "form"})
    assert "url(" not in html
    assert "@import" not in html
    assert len([tag for tag, _ in tags if tag == "td"]) > 29 * 14


def test_the_policy_allows_this_style_and_this_script_only() -> None:
    html = page(report_worlds.figures(3, 3))
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]+)"', html)
    style = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)[0]
    script = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)[0]
    digests = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (style, script)]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_texts_of_others_stay_texts() -> None:
    figures = report_worlds.figures(9, 9, report_worlds.HOSTILE)
    html = page(figures)
    found = _Elements(html)
    plain = _Elements(page(report_worlds.figures(9, 9)))
    assert {tag for tag, _ in found.tags} <= {tag for tag, _ in plain.tags}
    assert len(found.scripts) == len(plain.scripts) == 2
    assert json.loads(found.scripts[0]) == json.loads(json.dumps(figures.as_json())), "the JSON has every text whole"
    outside = html.replace(found.scripts[0], "")
    assert "x" * 1001 not in outside, "long texts are cut"
    assert not re.search("[\x00\x1b\u202e]", outside)
    assert "{{ 7 * 7 }}" in outside, "no text is a template"


def test_without_jinja_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match=r"pip install 'benchcoe-jobs\[report\]'"):
        page(report_worlds.figures(3, 3))


def test_the_colours_are_cividis() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    style = (page_module.resources.files("benchcoe_jobs.services.report") / "style.css").read_text()
    colours = re.findall(r"\.h\d \{ background: (#\w+);", style)
    scale = matplotlib.colormaps["cividis"].resampled(10)
    assert colours == [matplotlib.colors.to_hex(scale(step)) for step in range(10)]
