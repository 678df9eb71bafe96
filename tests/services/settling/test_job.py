"""The job `profile-until-settled`: it asks a part, labels as if it had asked all, and can be interrupted anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_plugins
import installation
import pytest
import settling_worlds
from installation import Site
from sqlalchemy import select

from benchcoe_jobs.domain import JobState
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.job_queue.executor import Executor
from benchcoe_jobs.job_queue.lifecycle import cancel, retry
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.views import expert_coverage, subject_label

TRAIN = "train"


@pytest.fixture
def site(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The world of `settling_worlds.prepare`."""
    fake_plugins.install(tmp_path, monkeypatch)
    with installation.opened(Site(tmp_path, store_url)) as found:
        settling_worlds.prepare(found, tmp_path)
        yield found


def labels(site: Site) -> dict[str, tuple[str, str]]:
    """Subject -> the expert of its label on train, and the source of its mean."""
    c = subject_label.c
    with site.store.reading() as connection:
        rows = connection.execute(select(c.subject, c.expert, c.source).where(c.split == TRAIN)).all()
    return {subject: (expert, source) for subject, expert, source in rows}


def coverage(site: Site, expert: str = "new") -> dict[tuple[str, str], tuple[int, int, int]]:
    """(subject, split) -> scored, all and whether it was stopped early, of the subjects with a score."""
    c = expert_coverage.c
    with site.store.reading() as connection:
        rows = connection.execute(
            select(c.subject, c.split, c.n_scored, c.n_queries, c.stopped_early).where(
                c.expert == expert, c.n_scored > 0
            )
        ).all()
    return {(row.subject, row.split): (row.n_scored, row.n_queries, row.stopped_early) for row in rows}


def subjects_of(report: Any) -> dict[str, dict[str, Any]]:
    [row] = report["benchmarks"]
    return {subject["subject"]: subject for subject in row["subjects"]}


def test_a_part_of_train_settles_the_labels_and_going_on_is_as_if_all_had_been_asked(site: Site) -> None:
    job = settling_worlds.run(site)
    assert job.state is JobState.DONE, job.error
    found = coverage(site)
    assert {split for _, split in found} == {TRAIN}, "the other splits are asked in full or not at all"
    assert all(stopped == 1 and n < 0.5 * n_all for n, n_all, stopped in found.values()), found
    assert labels(site) == {
        "biology": ("old", "measured"),
        "law": ("old", "measured"),
        "math": ("new", "estimated"),
    }
    of_report = subjects_of(job.report)
    assert {name: (row["n"], row["n_queries"], row["settled"]) for name, row in of_report.items()} == {
        subject: (n, n_all, True) for (subject, _), (n, n_all, _) in found.items()
    }
    assert all(row["low"] <= row["mean"] <= row["high"] for row in of_report.values())

    n_scored = len(fake_plugins.batches())
    again = settling_worlds.run(site)
    assert len(fake_plugins.batches()) == n_scored, "what is settled stays settled"
    assert subjects_of(again.report) == of_report

    job = site.follow(site.profile("new"))
    assert job.state is JobState.DONE
    assert all(stopped == 0 and n == n_all for n, n_all, stopped in coverage(site).values())
    labels_of_two, responses_of_two = installation.labels(site.store), installation.responses_of(site.store, "new")
    site.add_expert("new too", "new")
    with site.store.writing() as connection:
        experts.set_retired(connection, "new", True)
    site.follow(site.profile("new too"))
    assert installation.responses_of(site.store, "new too") == responses_of_two
    at_once = [repr(row).replace("new too", "new") for row in installation.labels(site.store)]
    assert sorted(at_once) == sorted(map(repr, labels_of_two))
    questions = [question for batch in fake_plugins.batches() for question in batch]
    assert len(questions) == 2 * settling_worlds.N, "no question was asked twice"


def test_a_job_that_is_interrupted_in_every_round_ends_as_an_undisturbed_one(site: Site) -> None:
    job_id = settling_worlds.submitted(site)
    while True:  # a new process for each shard
        executor = Executor(site.store, site.settings.home, lease_s=60)
        ran = executor.run_next(["gpu"], job_ids=[job_id])
        executor.unload()
        if not ran:
            break
    assert site.follow(job_id).state is JobState.DONE
    assert settling_worlds.n_rounds(site, job_id) > 1
    first = coverage(site)

    with site.store.writing() as connection:
        experts.set_retired(connection, "new", True)
    site.add_expert("twin", "new")
    again = settling_worlds.run(site, "twin")
    assert again.state is JobState.DONE
    twin = coverage(site, "twin")
    assert twin.keys() == first.keys()
    assert labels(site)["math"] == ("twin", "estimated")


def test_a_cancelled_job_continues(site: Site) -> None:
    job_id = settling_worlds.submitted(site)
    executor = Executor(site.store, site.settings.home, lease_s=60)
    assert executor.run_next(["gpu"], job_ids=[job_id])
    executor.unload()
    cancel(site.store, job_id)
    n_before = sum(n for n, _, _ in coverage(site).values())
    assert coverage(site)["law", TRAIN][2] == coverage(site)["biology", TRAIN][2] == 0, "they are not settled yet"
    retry(site.store, job_id)
    assert site.follow(job_id).state is JobState.DONE
    assert sum(n for n, _, _ in coverage(site).values()) > n_before
    assert labels(site)["math"] == ("new", "estimated")


def test_a_better_rival_reopens_what_was_settled(site: Site) -> None:
    settling_worlds.run(site)
    settling_worlds.add_rival(site.store, "fair", {"biology": 0.0, "law": 0.0, "math": 0.1})
    before = coverage(site)
    job = settling_worlds.run(site)
    after = coverage(site)
    assert job.state is JobState.DONE
    assert after["math", TRAIN][0] > before["math", TRAIN][0], "a tenth against a tenth is not settled"
    assert after["law", TRAIN] == before["law", TRAIN]


def test_every_pool_of_the_expert_must_be_settled(site: Site) -> None:
    settling_worlds.add_rival(site.store, "fair", {"biology": 0.1, "law": 0.0, "math": 0.0})
    with site.store.writing() as connection:
        experts.change_pool(connection, "small", add=["new", "fair"])
    assert settling_worlds.run(site).state is JobState.DONE
    found = coverage(site)
    assert found["biology", TRAIN][0] > found["law", TRAIN][0], "in the small pool it is close"


def test_without_a_rival_there_is_nothing_to_settle(site: Site) -> None:
    with site.store.writing() as connection:
        experts.set_retired(connection, "old", True)
    with pytest.raises(UsageError, match="no other expert has scores"):
        settling_worlds.submitted(site)


def test_questions_that_cannot_be_answered_are_errors_and_are_drawn_once(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_plugins.install(tmp_path, monkeypatch)
    with installation.opened(Site(tmp_path, store_url)) as site:
        settling_worlds.prepare(site, tmp_path, unanswerable=range(0, settling_worlds.N, 5))
        site.add_expert("shy", "shy")
        job = settling_worlds.run(site, "shy")
        assert job.state is JobState.PARTIAL
        assert sum(row["errors"] for row in job.report["benchmarks"]) > 0  # type: ignore[index]
        assert all(stopped == 1 for _, _, stopped in coverage(site, "shy").values())
        questions = [question for batch in fake_plugins.batches() for question in batch]
        assert len(set(questions)) == len(questions)

        (tmp_path / "healed").touch()
        retry(site.store, job.id)
        assert site.follow(job.id).state is JobState.DONE
        assert all(stopped == 1 for _, _, stopped in coverage(site, "shy").values())
