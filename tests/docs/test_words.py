"""The word audit: what it finds, what it lets pass, and that it cannot pass by looking at nothing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "words.py"

RULES = """
exempt = ["old/*.py"]
[text]
"nobody" = "no worker"
"asked is" = "the requirement is"
[names]
"lots?" = "shard_group"
"Known" = "TrainingSet"
"""


@pytest.fixture(scope="module")
def words() -> ModuleType:
    spec = importlib.util.spec_from_file_location("words", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["words"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def findings(words: ModuleType, tmp_path: Path) -> Callable[..., list[str]]:
    """Audit files, given as name and text, by RULES and further lines of TOML."""

    def of(files: dict[str, str], further: str = "") -> list[str]:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        (tmp_path / "rules.toml").write_text(RULES + further)
        return [
            str(finding) for finding in words.audit(tmp_path, list(files), words.read_rules(tmp_path / "rules.toml"))
        ]

    return of


def test_a_finding_names_file_line_word_and_replacement(findings: Callable[..., list[str]]) -> None:
    assert findings({"a.md": "All is well.\nThen Nobody came.\n"}) == ["a.md:2: Nobody: no worker"]


def test_a_word_inside_another_one_is_no_finding(findings: Callable[..., list[str]]) -> None:
    assert findings({"a.md": "nobodyness, masked issue, slots\n", "b.py": "allotment = slots = unKnown = 1\n"}) == []


def test_a_phrase_is_found_over_the_end_of_a_line(findings: Callable[..., list[str]]) -> None:
    assert findings({"a.py": "# All that was asked\n# is this.\n"}) == ["a.py:1: asked # is: the requirement is"]


@pytest.mark.parametrize("name", ["lot", "lot_id", "n_lots", "NewLot", "LOT"])
def test_a_name_that_contains_the_word_is_found(findings: Callable[..., list[str]], name: str) -> None:
    expected = [f"a.py:1: {name}: shard_group"]
    assert findings({"a.py": f"{name} = 1  # a lot of prose, quite a lot\n"}) == expected
    assert findings({"a.py": f'row["{name}"]\n'}) == expected
    assert findings({"a.sql": f"SELECT {name} FROM x -- a lot\n"}) == [f"a.sql:1: {name}: shard_group"]
    assert findings({"a.md": f"A lot of `{name}`.\n"}) == [f"a.md:1: {name}: shard_group"]


def test_a_word_with_a_capital_is_found_as_a_whole_name_only(findings: Callable[..., list[str]]) -> None:
    assert findings({"a.py": "class Known: ...\nknown = WellKnown = 1\n"}) == ["a.py:1: Known: TrainingSet"]


def test_the_name_of_a_test_is_audited_as_a_sentence(findings: Callable[..., list[str]]) -> None:
    text = "def test_a_lot_that_nobody_holds(): ...\n"
    assert findings({"a.py": text}) == ["a.py:1: test_a_lot_that_nobody_holds: no worker"]


def test_exempt_files_are_not_audited(findings: Callable[..., list[str]]) -> None:
    assert findings({"old/a.py": "lot = 1  # nobody\n"}) == []


def test_the_allow_list_is_for_one_file_and_phrase(findings: Callable[..., list[str]]) -> None:
    allow = '[[allow]]\nfile = "a.md"\nphrase = "nobody (65534)"\nreason = "the name of a user"\n'
    files = {"a.md": "runs as nobody (65534)\nnobody\n", "b.md": "runs as nobody (65534)\n"}
    assert findings(files, allow) == ["a.md:2: nobody: no worker", "b.md:1: nobody: no worker"]


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ("", "no words"),
        ('[text]\n"nobody" = "x"\n', "no words"),
        (RULES + '[other]\na = "b"\n', "unknown keys: other"),
        (RULES + '[[allow]]\nfile = "a"\nphrase = "b"\n', "file, phrase and reason"),
        (RULES + '[[allow]]\nfile = "a"\nphrase = "b"\nreason = " "\n', "without a reason"),
    ],
)
def test_wrong_rules_are_refused(words: ModuleType, tmp_path: Path, rules: str, says: str) -> None:
    (tmp_path / "rules.toml").write_text(rules)
    with pytest.raises(words.BrokenAuditError, match=says):
        words.read_rules(tmp_path / "rules.toml")


def test_an_empty_or_incomplete_list_of_files_is_refused(words: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(words.BrokenAuditError, match="git lists no files"):
        words.tracked_files(tmp_path / "missing")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    with pytest.raises(words.BrokenAuditError, match="no files to audit in bench, benchcoe_jobs"):
        words.tracked_files(tmp_path)
    for folder in words.FOLDERS[1:]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").touch()
    with pytest.raises(words.BrokenAuditError, match=r"no files to audit in bench$"):
        words.tracked_files(tmp_path)


def test_the_script_exits_with_1_on_findings_and_2_when_it_is_broken(words: ModuleType, tmp_path: Path) -> None:
    for folder in words.FOLDERS:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.md").write_text("All is well.\n")
    (tmp_path / "tests" / "words.py").write_text(SCRIPT.read_text())
    (tmp_path / "tests" / "words.toml").write_text(RULES)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, tmp_path / "tests" / "words.py", *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / "tests" / "words.toml").write_text('exempt = ["tests/words.toml"]\n' + RULES.replace("exempt", "#"))
    assert run().returncode == 0
    (tmp_path / "docs" / "a.md").write_text("nobody\n")
    done = run()
    assert (done.returncode, done.stdout) == (1, "docs/a.md:1: nobody: no worker\n")
    assert run("--count").stdout == "    1  docs/a.md\n"
    allow = '[[allow]]\nfile = "docs/b.md"\nphrase = "nobody"\nreason = "none"\n'
    (tmp_path / "tests" / "words.toml").write_text(
        'exempt = ["tests/words.toml"]\n' + RULES.replace("exempt", "#") + allow
    )
    done = run()
    assert done.returncode == 2
    assert "allow list that allows nothing: docs/b.md" in done.stderr
