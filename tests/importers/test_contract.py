"""Every importer, on samples of its format: recognised as this format alone, the right means, safe with damaged files.

The samples are in tests/helpers/import_cases.py.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import hostile
import pytest
from import_cases import CASES, Case
from store_content import content

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Result
from benchcoe_jobs.errors import BenchcoeError
from benchcoe_jobs.importers.base import Item, TaskMean
from benchcoe_jobs.importers.detection import find
from benchcoe_jobs.services.ingest.import_summary import ImportSummary
from benchcoe_jobs.services.ingest.result_import import import_results
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store, connect

over_cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


@pytest.fixture
def path(case: Case, tmp_path: Path) -> Path:
    """A copy of the sample."""
    return case.copy_to(tmp_path / "sample")


@pytest.fixture
def empty(sqlite_template: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copy(sqlite_template, tmp_path / "store.db")
    store = connect(f"sqlite:///{tmp_path}/store.db")
    with store.writing() as connection:
        experts.add_expert(connection, experts.ExpertRow("the model", "recorded"))
    yield store
    store.close()


def items(case: Case, path: Path) -> list[Item]:
    """What the importer of a case yields for everything that it recognises under a path."""
    importer = registry.load("importers", case.form)
    return [item for known in find([path]).recognised for item in importer.read(known.source, case.options)]


def test_every_format_has_a_case() -> None:
    assert {case.form for case in CASES} == set(registry.names("importers"))


@over_cases
def test_it_is_recognised_as_this_format_alone(case: Case, path: Path) -> None:
    found = find([path])
    assert not found.faults
    assert {(known.form, bool(known.why)) for known in found.recognised} == {(case.form, True)}


@over_cases
def test_its_means_are_right(case: Case, path: Path) -> None:
    scores: dict[tuple[str | None, str], list[float]] = defaultdict(list)
    for item in items(case, path):
        if isinstance(item, Result):
            score = item.score if item.file_score is None else item.file_score
            query = case.stored_query(item)
            if score is None:
                score = registry.load("benchmarks", item.benchmark)().score(item.text or "", query).score
            scores[item.expert, item.task or query.subject].append(score)
    found = {task: (len(of_task), round(sum(of_task) / len(of_task), 4)) for task, of_task in scores.items()}
    assert found == case.means


@over_cases
def test_it_is_imported_and_the_second_time_changes_nothing(case: Case, path: Path, empty: Store) -> None:
    n = sum(rows for rows, _ in case.means.values()) - case.repeats
    case.store_queries(empty)
    assert sum(sum(summary.scored.values()) for summary in import_all(case, path, empty)) == n
    again = import_all(case, path, empty)
    assert sum(summary.unchanged for summary in again) == n
    assert not any(summary.scored or summary.new_queries for summary in again)


def import_all(case: Case, path: Path, store: Store) -> list[ImportSummary]:
    """Import everything under a path. Raises the first error."""
    found = find([path])
    for _, error in found.faults:
        raise error
    names_experts = any(expert is not None for expert, _ in case.means)
    return [
        import_results(
            store,
            "all" if names_experts else "the model",
            known.source.path,
            form=known.form,
            options=case.options,
            create_experts=names_experts,
        )
        for known in found.recognised
    ]


@pytest.mark.parametrize("damage", ["cut", "NUL", "deep", "empty"])
@over_cases
def test_a_damaged_file_is_refused_in_one_line(case: Case, path: Path, damage: str) -> None:
    [known, *_] = find([path]).recognised
    for file in sorted(known.source.files):
        content = file.read_bytes()
        file.write_bytes(
            {
                "cut": content[: len(content) * 2 // 3],
                "NUL": content[: len(content) // 3] + b"\0" + content[len(content) // 3 :],
                "deep": b"[" * 100_000,
                "empty": b"",
            }[damage]
        )
        hostile.require_own_errors(lambda: list(registry.load("importers", case.form).read(known.source, case.options)))
        hostile.require_own_errors(lambda: find([path]))
        file.write_bytes(content)


@over_cases
def test_a_format_that_states_means_has_a_case_with_another_mean(case: Case, path: Path) -> None:
    if any(isinstance(item, TaskMean) for item in items(case, path)):
        assert any("mean of" in message for other in CASES if other.form == case.form for message in other.refused)


@pytest.mark.parametrize(
    ("case", "message"),
    [(case, message) for case in CASES for message in case.refused],
    ids=lambda value: value.id if isinstance(value, Case) else value,
)
def test_a_file_that_must_be_refused_is(case: Case, path: Path, message: str, empty: Store) -> None:
    case.refused[message](path)
    case.store_queries(empty)
    before = content(empty)
    with pytest.raises(BenchcoeError, match=message) as refusal:
        import_all(case, path, empty)
    assert "\n" not in str(refusal.value)
    assert content(empty) == before


FOLDERS = ["bbh", "helm", "lighteval", "llmrouterbench", "lm-eval", "lmms-eval", "mmmu", "opencompass", "vlmevalkit"]


@pytest.mark.parametrize("form", FOLDERS)
def test_no_folder_format_hides_the_results_of_another_one_in_the_same_folder(form: str, tmp_path: Path) -> None:
    first = {case.form: case for case in reversed(CASES)}
    for other in ["table", *FOLDERS[: FOLDERS.index(form)]]:
        both = tmp_path / f"with-{other}"
        for case in (first[form], first[other]):
            sample = case.copy_to(tmp_path / f"{other}-{case.form}")
            shutil.copytree(sample if sample.is_dir() else sample.parent, both, dirs_exist_ok=True)
        found = find([both])
        reasons = " ".join(str(error) for _, error in found.faults)
        seen = {known.form for known in found.recognised}
        assert all(name in seen or f"{name}: " in reasons for name in (form, other)), other
