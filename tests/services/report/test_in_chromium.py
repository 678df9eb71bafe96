"""Reports in a real Chromium without a network: tests/browser/look.mjs opens them, this module says what is right.

`make test-report` installs what look.mjs needs and runs these tests; without it they are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import report_worlds
from needs import require_chromium

from benchcoe_jobs.services.report.figures import Figures
from benchcoe_jobs.services.report.page import page

LOOK = Path(__file__).parents[2] / "browser" / "look.mjs"
VIEWS = {"light", "dark", "narrow", "print"}


def look_at(figures: Figures, folder: Path) -> Any:
    """What look.mjs saw of a report; its screenshots are in the folder."""
    chromium = require_chromium()
    file = folder / "report.html"
    file.write_text(page(figures), encoding="utf-8")
    words = ["node", str(LOOK), str(file), str(folder)]
    seen = subprocess.run(words, env=os.environ | {"CHROMIUM": chromium}, capture_output=True, text=True, timeout=300)
    assert seen.returncode == 0, seen.stderr
    return json.loads(seen.stdout)


def require_clean(seen: Any) -> None:
    """Nothing was requested, no message was logged, and axe-core and html-validate find nothing in any view."""
    assert seen["requests"] == []
    assert seen["errors"] == []
    assert seen["validator"] == []
    assert seen["axe"] == {view: [] for view in VIEWS}
    assert seen["overflow"] == dict.fromkeys(VIEWS, 0), "only tables scroll sideways; in print nothing is cut"


def test_a_large_report(tmp_path: Path) -> None:
    figures = report_worlds.figures(29, 14)
    seen = look_at(figures, tmp_path)
    require_clean(seen)
    assert seen["figures"] == json.loads(json.dumps(figures.as_json()))
    assert seen["first_focus"] == "Skip to the figures"
    names = seen["sorted"]["names"]
    assert seen["sorted"]["state"] == "descending"
    assert names == [expert.expert for expert in reversed(figures.experts.experts)], "28 comes before 3"
    assert seen["filtered"] == sum(names[0].lower() in name.lower() for name in names)
    assert seen["without_script"]["text"] > 5_000
    assert seen["without_script"]["cells"] > 29 * 14
    assert seen["without_script"]["buttons"] == 0, "without a script there is no button that does nothing"


def test_texts_of_others_are_harmless(tmp_path: Path) -> None:
    seen = look_at(report_worlds.figures(9, 9, report_worlds.HOSTILE), tmp_path)
    require_clean(seen)
    assert seen["markup"] is None, "no markup in a text ran"


def test_a_report_of_one_expert_and_one_subject(tmp_path: Path) -> None:
    require_clean(look_at(report_worlds.figures(1, 1), tmp_path))
