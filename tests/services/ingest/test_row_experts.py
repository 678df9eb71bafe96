"""The experts of rows: one that the command names, or all that the file names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tables import add_experts, bring

from benchcoe_jobs.errors import InputError
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store, open_store

ROW = {"key": "1", "text": "one?", "subject": "law", "score": 1}


def rows(*names: str) -> Iterator[dict[str, object]]:
    return ({**ROW, "expert": name} for name in names)


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Store]:
    path = tmp_path / "benchcoe.db"
    path.write_bytes(sqlite_template.read_bytes())
    opened = open_store(f"sqlite:///{path}")
    add_experts(opened, ann=None, bob=None)
    yield opened
    opened.close()


def test_a_file_of_one_model_may_call_it_as_it_likes(store: Store, tmp_path: Path) -> None:
    summary = bring(store, tmp_path, "ann", *rows("org/Model-7B"))
    assert summary.scored == {"ann": 1}
    assert "the file names its model 'org/Model-7B': its results are taken for 'ann'" in summary.notes


def test_a_file_of_another_expert_is_not_taken(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a row of another expert: 'bob'"):
        bring(store, tmp_path, "ann", *rows("bob"))


def test_a_file_of_several_models_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"several models \('x', 'y'\).*import-results all .*--create-experts"):
        bring(store, tmp_path, "ann", *rows("x", "y"))


def test_experts_are_registered_under_names_that_are_valid(store: Store, tmp_path: Path) -> None:
    long = "m" * 300
    summary = bring(store, tmp_path, "all", *rows("ann", "new\tname", "-e", long), create_experts=True)
    [tab, option, cut] = summary.created
    assert (tab, option, len(cut), cut[:100]) == ("new_name", "_e", 200, long[:100])
    assert "the model 'new\\tname' of the file is the expert 'new_name'" in summary.notes
    with store.reading() as connection:
        assert not experts.read_expert(connection, tab)[1].can_answer
        assert set(experts.expert_ids(connection)) == {"ann", "bob", tab, option, cut}


def test_two_models_with_one_name_are_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'a_b' and .* would both be the expert 'a_b'"):
        bring(store, tmp_path, "all", *rows("a_b", "a\tb"), create_experts=True)
    with store.reading() as connection:
        assert set(experts.expert_ids(connection)) == {"ann", "bob"}


def test_all_is_no_name(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'all' cannot be the name of an expert"):
        bring(store, tmp_path, "all", *rows("all"), create_experts=True)
