"""An experiment is read from its file, and a wrong file is refused with the wrong key."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
from examples import examples
from experiment_file import FILE, read
from hypothesis import given, settings
from hypothesis import strategies as st

from benchcoe_jobs.domain import Level, Policy
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.routers.fallback import DEFAULT_MAX_FALLBACK
from benchcoe_jobs.services.experiments import plan
from benchcoe_jobs.services.experiments.plan import Experiment, Protocol, RouterSpec, read_experiment


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
        (("seeds = [0, 1]", "seeds = 5"), "seeds: a list of whole numbers"),
        (("seeds = [0, 1]", f"seeds = {'[' * 50_000}"), "nested too deeply"),
        (('title = "small"', "title = 3"), "title: a text is expected"),
        (("two =", '"a\\u001b[2J" ='), "pools: .* printable characters"),
        (('name = "by subject"', 'name = " x"'), "routers: ' x': use 1 to 200 printable characters"),
        (('name = "by subject"', 'name = "x"\nencoder = 1'), "encoder: a text is expected"),
        (("seeds", "seeds ="), "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, FILE.replace(*change))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = [
    "title",
    "benchmark",
    "protocols",
    "seeds",
    "pools",
    "routers",
    "other_benchmark",
    "name",
    "level",
    "max_fallback",
]


@settings(max_examples=examples(60))
@given(key=st.sampled_from(KEYS), value=VALUES, in_router=st.booleans())
def test_any_value_under_any_key_is_read_or_refused(key: str, value: object, in_router: bool) -> None:
    document = tomllib.loads(FILE)
    (document["routers"][0] if in_router else document)[key] = value
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "read_toml", lambda path: document)
        with suppress(InputError):  # nothing else may be raised
            assert isinstance(read_experiment(Path("x.toml")), Experiment)
