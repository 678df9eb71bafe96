"""An experiment is read from its file, and a wrong file is refused with the wrong key."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchcoe_jobs.domain import Level, Policy
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.routers.fallback import DEFAULT_MAX_FALLBACK
from benchcoe_jobs.services.experiments.plan import Experiment, Protocol, RouterSpec, read_experiment

FILE = """
title = "small"
benchmark = "toy"
protocols = ["naive", "in-distribution", "held-out-subjects"]
seeds = [0, 1]
[pools]
two = ["ann", "bob"]
[[routers]]
name = "by subject"
"""


def read(folder: Path, text: str) -> Experiment:
    path = folder / "small.toml"
    path.write_text(text)
    return read_experiment(path)


def test_a_file_with_its_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, FILE) == Experiment(
        benchmark="toy",
        protocols=(Protocol.NAIVE, Protocol.IN_DISTRIBUTION, Protocol.HELD_OUT_SUBJECTS),
        pools={"two": ("ann", "bob")},
        routers=(RouterSpec("by subject", Level.SUBJECT, "tfidf", max_fallback=DEFAULT_MAX_FALLBACK),),
        seeds=(0, 1),
        title="small",
    )


def test_options_of_a_router_and_repeated_seeds(tmp_path: Path) -> None:
    text = FILE.replace("[0, 1]", "[3, 0, 3]").replace('"ann", "bob"', "")
    text += 'policy = "abstain"\nhead = "linear"\nmax_fallback = 1\n[[routers]]\nname = "b"\nlevel = "query"\n'
    found = read(tmp_path, text)
    assert found.seeds == (3, 0)
    assert found.pools == {"two": ()}
    assert found.routers == (
        RouterSpec("by subject", policy=Policy.ABSTAIN, head="linear", max_fallback=1),
        RouterSpec("b", Level.QUERY),
    )


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_experiment(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[[routers]]", "[[router]]"), "unknown key 'router'"),
        (("seeds = [0, 1]", "seeds = [0.5]"), "seeds: a list of whole numbers"),
        (('"naive"', '"native"'), "protocols: unknown value 'native'; choose one of naive, in-distribution"),
        (('"naive"', '"other-benchmark"'), "need each other"),
        (('name = "by subject"', 'name = "x"\nkind = "magic"'), "unknown kind 'magic'"),
        (('name = "by subject"', 'level = "query"'), "name is missing"),
        (('name = "by subject"', 'name = "x"\nmax_fallback = 2'), "max_fallback: a number from 0 to 1"),
        (('name = "by subject"', 'name = "x"\nmax_fallback = true'), "max_fallback: a number from 0 to 1"),
        (('two = ["ann", "bob"]', ""), "pools: a table"),
        (("seeds", "seeds ="), "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, FILE.replace(*change))
