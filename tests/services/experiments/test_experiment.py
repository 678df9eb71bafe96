"""An experiment end to end on a small world: what its trials are, that they are the jobs' own figures, and that a
killed run goes on where it was."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tables import add_experts, bring

from benchcoe_jobs.domain import Level
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.services.evaluation.evaluate import evaluate
from benchcoe_jobs.services.experiments.gains_plot import plot_gains
from benchcoe_jobs.services.experiments.plan import Experiment, Protocol, RouterSpec, read_experiment
from benchcoe_jobs.services.experiments.report import markdown, summarise
from benchcoe_jobs.services.experiments.run import run_experiment
from benchcoe_jobs.services.intervals import clustered_interval, mean_interval
from benchcoe_jobs.services.training.train import train_router
from benchcoe_jobs.store.session import Store

SKILLS = {
    "ann": {"apples": 0.9, "bricks": 0.3, "cars": 0.6},
    "bob": {"apples": 0.3, "bricks": 0.9, "cars": 0.5},
}
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


def fill(store: Store, folder: Path) -> None:
    add_experts(store, ann=1.0, bob=2.0)
    for expert, skills in SKILLS.items():
        luck = random.Random(expert)
        rows = [
            {"key": f"{subject}{n}", "text": f"how many {subject} in case {n}", "subject": subject}
            | {"score": int(luck.random() < skill)}
            for subject, skill in skills.items()
            for n in range(60)
        ]
        bring(store, folder, expert, *rows)


@pytest.fixture
def toy(store: Store, tmp_path: Path) -> Store:
    fill(store, tmp_path)
    return store


def plan(folder: Path, text: str = FILE) -> Experiment:
    path = folder / "small.toml"
    path.write_text(text)
    return read_experiment(path)


def test_cells_are_the_figures_of_the_jobs(toy: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run_experiment(toy, plan(tmp_path), out)
    assert (done.done_before, done.failed) == (0, [])
    folds = [(one.trial.protocol, one.trial.fold, one.trial.seed) for one in done.outcomes]
    held_out = [
        (Protocol.HELD_OUT_SUBJECTS, subject, seed) for seed in (0, 1) for subject in ("apples", "bricks", "cars")
    ]
    simple = [(protocol, "", seed) for protocol in (Protocol.NAIVE, Protocol.IN_DISTRIBUTION) for seed in (0, 1)]
    assert folds == simple + held_out

    train_router(
        toy, tmp_path, "r", level=Level.SUBJECT, kind="tfidf", head=None, pool="all", benchmark=None, split="train"
    )
    report = evaluate(toy, tmp_path, "r", benchmark=None, split="test")
    trial = next(one for one in done.outcomes if one.trial.protocol is Protocol.IN_DISTRIBUTION and one.trial.seed == 0)
    for key in ("n", "accuracy", "best_single", "subject_oracle", "oracle", "calls", "cost", "gain", "distribution"):
        assert trial.report[key] == getattr(report, key), key
    assert len(trial.gains) == report.n
    assert np.mean(list(trial.gains.values())) == pytest.approx(report.gain["value"])
    again = next(one for one in done.outcomes if one.trial.protocol is Protocol.IN_DISTRIBUTION and one.trial.seed == 1)
    assert again.gains.keys() != trial.gains.keys(), "another seed is another deal"
    for one in done.outcomes:
        if one.trial.protocol is Protocol.HELD_OUT_SUBJECTS:
            assert one.report["distribution"] == "out of distribution"
            assert {key.rstrip("0123456789") for key in one.gains} == {one.trial.fold}
    assert toy_is_as_it_was(toy)

    rows = {row.protocol: row for row in summarise(done.outcomes)}
    row = rows["in-distribution"]
    assert (row.trials, row.n) == (2, trial.report["n"] + again.report["n"])
    assert row.gain == pytest.approx(np.mean([*trial.gains.values(), *again.gains.values()]))
    assert row.accuracy - row.best_single == pytest.approx(row.gain)
    assert row.low <= row.gain <= row.high
    assert rows["naive"].in_sample
    assert markdown(list(rows.values())).count("\n") == 5


def toy_is_as_it_was(store: Store) -> bool:
    from benchcoe_jobs.store.results import catalog, experts

    with store.reading() as connection:
        benchmarks = [row["benchmark"] for row in catalog.benchmarks(connection)]
        pools = [row["pool"] for row in experts.pools(connection)]
    return (benchmarks, pools) == (["toy"], ["all"])


def test_what_is_done_is_not_done_again(toy: Store, tmp_path: Path) -> None:
    """Other routers, seeds and data are other trials; the rest stays."""
    out = tmp_path / "out"
    small = plan(tmp_path, FILE.replace(', "held-out-subjects"', ""))
    first = run_experiment(toy, small, out)
    files = {path: path.stat().st_mtime_ns for path in (out / "trials").iterdir()}
    assert len(files) == len(first.outcomes) == 4

    heard: list[int] = []
    more = plan(tmp_path, FILE.replace(', "held-out-subjects"', "") + '[[routers]]\nname = "b"\npolicy = "abstain"\n')
    second = run_experiment(toy, more, out, planned=heard.append, progress=heard.append)
    assert (second.done_before, len(second.outcomes)) == (4, 8)
    assert (heard[0], sum(heard[1:])) == (8, 8)
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert run_experiment(toy, more, out).done_before == 8

    bring(toy, tmp_path, "ann", {"key": "apples0", "subject": "apples", "score": 0.5}, replace=True)
    assert run_experiment(toy, small, out).done_before == 0


def test_a_cell_that_fails_does_not_stop_the_others(toy: Store, tmp_path: Path) -> None:
    text = FILE.replace('["naive", "in-distribution", "held-out-subjects"]', '["in-distribution"]')
    done = run_experiment(toy, plan(tmp_path, text.replace('"bob"]', '"bob"]\nnone = ["eve"]')), add_eve(toy, tmp_path))
    assert [one.trial.pool for one in done.outcomes] == ["two", "two"]
    assert [(trial.pool, trial.seed) for trial, _ in done.failed] == [("none", 0), ("none", 1)]
    assert "no best single expert" in done.failed[0][1]


def add_eve(store: Store, folder: Path) -> Path:
    add_experts(store, eve=1.0)
    return folder / "out"


def test_another_benchmark(toy: Store, tmp_path: Path) -> None:
    from benchcoe_jobs.services.ingest.result_import import import_results

    other = tmp_path / "other.csv"
    for name, score in (("ann", 0), ("bob", 1)):
        lines = [f"k{n},count the bricks {n},walls,test,{score}" for n in range(8)]
        other.write_text("key,text,subject,split,score\n" + "\n".join(lines))
        import_results(toy, name, other, form="table", benchmark="other")
    small = Experiment("toy", (Protocol.OTHER_BENCHMARK,), {"all": ()}, (RouterSpec("r"),), other_benchmark="other")
    [outcome] = run_experiment(toy, small, tmp_path / "out").outcomes
    assert (outcome.report["n"], outcome.report["distribution"]) == (8, "out of distribution")
    assert outcome.report["calls"] == {"bob": 1.0}


KILLED = """
import sys
from pathlib import Path
from benchcoe_jobs.services.experiments.run import run_experiment
from benchcoe_jobs.services.experiments.plan import read_experiment
from benchcoe_jobs.store.session import open_store
run_experiment(open_store(sys.argv[1]), read_experiment(Path(sys.argv[2])), Path(sys.argv[3]))
"""


def test_killed_and_started_again(tmp_path: Path, sqlite_template: Path) -> None:
    import shutil

    from benchcoe_jobs.store.session import open_store

    shutil.copy(sqlite_template, tmp_path / "x.db")
    url = f"sqlite:///{tmp_path}/x.db"
    store = open_store(url)
    fill(store, tmp_path)
    small, out = plan(tmp_path), tmp_path / "out"
    words = [sys.executable, "-c", KILLED, url, str(tmp_path / "small.toml"), str(out)]
    child = subprocess.Popen(words, start_new_session=True)
    while child.poll() is None and len(list((out / "trials").glob("*.json"))) < 2:
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    there = len(list((out / "trials").glob("*.json")))
    assert 2 <= there < 10
    (out / "trials" / "torn.new").write_text("{")
    done = run_experiment(store, small, out)
    assert (done.done_before, len(done.outcomes)) == (there, 10)
    assert sorted(path.suffix for path in (out / "trials").iterdir()) == [".json"] * 10
    assert not list(out.glob(".resplit-*")), "the killed run's scratch store is swept up"
    store.close()


def test_plots(toy: Store, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = run_experiment(toy, plan(tmp_path, FILE.replace(', "held-out-subjects"', "")), tmp_path / "out")
    png, svg = plot_gains(summarise(done.outcomes), "small", tmp_path)
    assert png.read_bytes().startswith(b"\x89PNG")
    text = svg.read_text(encoding="utf-8")
    assert "naive (in-sample)" in text
    assert "by subject" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[[routers]]", "[[router]]"), "unknown key 'router'"),
        (("seeds = [0, 1]", "seeds = [0.5]"), "seeds: a list of whole numbers"),
        (('"naive"', '"native"'), "protocols: unknown 'native'; there are naive, in-distribution"),
        (('"naive"', '"other-benchmark"'), "go together"),
        (('name = "by subject"', 'name = "x"\nkind = "magic"'), "unknown kind 'magic'"),
        (('name = "by subject"', 'level = "query"'), "name is missing"),
        (('name = "by subject"', 'name = "x"\nmax_fallback = 2'), "max_fallback: a number from 0 to 1"),
        (('name = "by subject"', 'name = "x"\nmax_fallback = true'), "max_fallback: a number from 0 to 1"),
        (('two = ["ann", "bob"]', ""), "pools: a table"),
        (("seeds", "seeds ="), "no TOML"),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(tmp_path, FILE.replace(*change))


def test_the_interval_of_what_is_measured_once_is_the_plain_one() -> None:
    values = np.random.default_rng(2).choice([-1.0, 0.0, 1.0], size=800, p=[0.2, 0.5, 0.3])
    assert clustered_interval(values, np.ones(800)) == pytest.approx(mean_interval(values), abs=0.006)


def test_measuring_the_same_again_makes_nothing_surer() -> None:
    values = np.random.default_rng(3).choice([-1.0, 0.0, 1.0], size=500)
    assert clustered_interval(5 * values, np.full(500, 5.0)) == clustered_interval(values, np.ones(500))
