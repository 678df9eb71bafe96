"""An experiment end to end: its trials have the figures of train-router and evaluate, and a killed run continues."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import cascade_world
import numpy as np
import picture_world
import pytest
from experiment_file import FILE, read
from tables import add_experts, bring

from benchcoe_jobs.domain import Level
from benchcoe_jobs.services.evaluation.evaluate import evaluate
from benchcoe_jobs.services.experiments.plan import Experiment, Protocol, RouterSpec
from benchcoe_jobs.services.experiments.report import summarise
from benchcoe_jobs.services.experiments.run import run_experiment
from benchcoe_jobs.services.training.train import train_router
from benchcoe_jobs.store.session import Store

SKILLS = {
    "ann": {"apples": 0.9, "bricks": 0.3, "cars": 0.6},
    "bob": {"apples": 0.3, "bricks": 0.9, "cars": 0.5},
}


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


@pytest.mark.parametrize("dialect", ["sqlite"])  # the database plays no part
def test_trials_have_the_figures_of_train_router_and_evaluate(toy: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run_experiment(toy, read(tmp_path), out)
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
    assert again.gains.keys() != trial.gains.keys(), "another seed assigns other queries to the test split"
    for one in done.outcomes:
        if one.trial.protocol is Protocol.HELD_OUT_SUBJECTS:
            assert one.report["distribution"] == "out of distribution"
            assert {key.rstrip("0123456789") for key in one.gains} == {one.trial.fold}
    assert is_unchanged(toy)

    rows = {row.protocol: row for row in summarise(done.outcomes)}
    row = rows["in-distribution"]
    assert (row.trials, row.n) == (2, trial.report["n"] + again.report["n"])
    assert row.gain == pytest.approx(np.mean([*trial.gains.values(), *again.gains.values()]))
    assert row.accuracy - row.best_single == pytest.approx(row.gain)
    assert row.low <= row.gain <= row.high
    assert rows["naive"].in_sample


def is_unchanged(store: Store) -> bool:
    from benchcoe_jobs.store.results import catalog, experts

    with store.reading() as connection:
        benchmarks = [row["benchmark"] for row in catalog.benchmarks(connection)]
        pools = [row["pool"] for row in experts.pools(connection)]
    return (benchmarks, pools) == (["toy"], ["all"])


@pytest.mark.parametrize("dialect", ["sqlite"])  # the database plays no part
def test_stored_outcomes_are_not_computed_again(toy: Store, tmp_path: Path) -> None:
    """Other routers, seeds and data are other trials; stored outcomes are not touched."""
    out = tmp_path / "out"
    small = read(tmp_path, FILE.replace(', "held-out-subjects"', ""))
    first = run_experiment(toy, small, out)
    files = {path: path.stat().st_mtime_ns for path in (out / "trials").iterdir()}
    assert len(files) == len(first.outcomes) == 4

    reported: list[int] = []
    more = read(tmp_path, FILE.replace(', "held-out-subjects"', "") + '[[routers]]\nname = "b"\npolicy = "abstain"\n')
    second = run_experiment(toy, more, out, planned=reported.append, progress=reported.append)
    assert (second.done_before, len(second.outcomes)) == (4, 8)
    assert (reported[0], sum(reported[1:])) == (8, 8)
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert run_experiment(toy, more, out).done_before == 8

    bring(toy, tmp_path, "ann", {"key": "apples0", "subject": "apples", "score": 0.5}, replace=True)
    assert run_experiment(toy, small, out).done_before == 0


def test_a_trial_that_fails_does_not_stop_the_others(toy: Store, tmp_path: Path) -> None:
    text = FILE.replace('["naive", "in-distribution", "held-out-subjects"]', '["in-distribution"]')
    add_experts(toy, eve=1.0)
    done = run_experiment(toy, read(tmp_path, text.replace('"bob"]', '"bob"]\nnone = ["eve"]')), tmp_path / "out")
    assert [one.trial.pool for one in done.outcomes] == ["two", "two"]
    assert [(trial.pool, trial.seed) for trial, _ in done.failed] == [("none", 0), ("none", 1)]
    assert "no best single expert" in done.failed[0][1]


@pytest.mark.parametrize("dialect", ["sqlite"])  # the database plays no part
def test_another_benchmark(toy: Store, tmp_path: Path) -> None:
    from benchcoe_jobs.importers.base import ReadOptions
    from benchcoe_jobs.services.ingest.result_import import import_results

    other = tmp_path / "other.csv"
    for name, score in (("ann", 0), ("bob", 1)):
        lines = [f"k{n},count the bricks {n},walls,test,{score}" for n in range(8)]
        other.write_text("key,text,subject,split,score\n" + "\n".join(lines))
        import_results(toy, name, other, form="table", options=ReadOptions(benchmark="other"))
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


def test_a_killed_run_continues(tmp_path: Path, sqlite_template: Path) -> None:
    import shutil

    from benchcoe_jobs.store.session import open_store

    shutil.copy(sqlite_template, tmp_path / "x.db")
    url = f"sqlite:///{tmp_path}/x.db"
    store = open_store(url)
    fill(store, tmp_path)
    small, out = read(tmp_path), tmp_path / "out"
    words = [sys.executable, "-c", KILLED, url, str(tmp_path / "small.toml"), str(out)]
    child = subprocess.Popen(words, start_new_session=True)
    while child.poll() is None and len(list((out / "trials").glob("*.json"))) < 2:
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    before = len(list((out / "trials").glob("*.json")))
    assert 2 <= before < 10
    (out / "trials" / "torn.new").write_text("{")
    done = run_experiment(store, small, out)
    assert (done.done_before, len(done.outcomes)) == (before, 10)
    assert sorted(path.suffix for path in (out / "trials").iterdir()) == [".json"] * 10
    assert not list(out.glob(".resplit-*")), "the temporary store of the killed run is removed"
    store.close()


LOOKS = """
title = "pictures"
benchmark = "toy"
protocols = ["in-distribution"]
seeds = [0]
[pools]
two = ["ann", "bob"]
[[routers]]
name = "looks"
kind = "vision"
"""


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_a_router_that_looks_at_questions_without_texts(store: Store, tmp_path: Path) -> None:
    picture_world.fill(store, tmp_path)
    [trial] = run_experiment(store, read(tmp_path, LOOKS), tmp_path / "out").outcomes
    assert trial.report["accuracy"] == trial.report["oracle"] == 1.0
    assert trial.report["gain"]["value"] > 0.3


@pytest.mark.parametrize("dialect", ["sqlite"])  # the database plays no part
def test_a_cascade_finds_the_responses_in_the_temporary_store(store: Store, tmp_path: Path) -> None:
    cascade_world.fill(store, tmp_path)
    cascade_world.train(store, tmp_path)
    experiment = Experiment(
        benchmark="toy",
        protocols=(Protocol.IN_DISTRIBUTION,),
        pools={"all": ()},
        routers=(RouterSpec("c", Level.QUERY, "cascade"),),
    )
    done = run_experiment(store, experiment, tmp_path / "out")
    assert done.failed == []
    report = done.outcomes[0].report
    expected = evaluate(store, tmp_path, "c", benchmark=None, split="test")
    assert (report["accuracy"], report["cascade"]) == (expected.accuracy, expected.cascade)
