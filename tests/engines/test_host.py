"""The host: errors that keep their type, batches that survive their worst request, and no process left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchcoe_jobs.domain import Completion, Decoding, Request
from benchcoe_jobs.engines import errors
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.engine_client import EngineClient, MicroBatch
from benchcoe_jobs.errors import BenchcoeError, MissingError, UsageError

GREEDY = Decoding()


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake engine, installed as another distribution would install its own."""
    info = tmp_path / "site" / "fake_engine-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-engine\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[benchcoe_jobs.engines]\nfake = fake_engine:FakeEngine\neager = fake_engine:EagerEngine\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{info.parent}:{Path(__file__).parents[1] / 'helpers'}")


def fake(model: str = "well", **settings: float) -> EngineClient:
    return EngineClient(ExpertSettings("fake", model), **settings)


def ask(host: EngineClient, *questions: str) -> list[str]:
    """The texts of the answers, and the errors in their places."""
    completions = host.run([Request(question) for question in questions], GREEDY)
    return [completion.error or completion.text for completion in completions]


def test_answers_come_in_order_and_the_expert_is_loaded_once() -> None:
    with fake() as host:
        assert ask(host, "a", "b", "c") == ["A", "B", "C"]
        assert ask(host, "d") == ["D"]
        assert host.version() == {"engine": "fake"}
        assert host.loads == 1


def test_noise_on_standard_output_and_error_is_no_answer() -> None:
    with fake() as host:
        assert ask(host, "noise", "b" * 1_000_000) == ["NOISE", "B" * 1_000_000]


@pytest.mark.parametrize(
    ("model", "kind", "words"),
    [
        ("no-memory", errors.OutOfMemoryError, "900 GiB"),
        ("cuda", errors.OutOfMemoryError, "CUDA out of memory"),
        ("dies", errors.EngineDiedError, "exit code 7; it last said: cannot open libsomething.so"),
    ],
)
def test_load_errors_keep_their_type(model: str, kind: type[BenchcoeError], words: str) -> None:
    with fake(model) as host, pytest.raises(kind, match=words):
        host.load()


def test_a_load_that_hangs_is_ended_in_time() -> None:
    started = time.monotonic()
    with fake("hangs", load_timeout_s=2) as host, pytest.raises(errors.EngineTimeoutError, match="within 2 s"):
        host.load()
    assert time.monotonic() - started < 60  # not the 600 s that it sleeps


def test_a_child_that_was_killed_while_it_loaded_is_started_again(tmp_path: Path) -> None:
    with fake(f"dies-once:{tmp_path}") as host:
        assert ask(host, "a") == ["A"]


@pytest.mark.parametrize("missing", ["transformers", "vllm", "openai"])
def test_a_missing_package_comes_with_what_to_install(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = "httpx2" if missing == "openai" else missing
    (tmp_path / "site" / f"{package}.py").write_text("raise ImportError('not here')\n")
    settings = ExpertSettings(missing, "model")
    with EngineClient(settings) as host, pytest.raises(MissingError, match=r"pip install 'benchcoe-jobs\[") as raised:
        host.load()
    assert raised.value.exit_code == 4


def test_an_unknown_engine_names_the_known_ones() -> None:
    with (
        EngineClient(ExpertSettings("magic", "m")) as host,
        pytest.raises(UsageError, match="openai, transformers, vllm"),
    ):
        host.load()


def test_one_poison_request_costs_no_other_its_answer() -> None:
    with fake() as host:
        answers = ask(host, "a", "b", "c", "poison", "e", "f", "g", "h")
        assert answers[:3] + answers[4:] == ["A", "B", "C", "E", "F", "G", "H"]
        assert "SIGKILL" in answers[3]
        assert host.loads == 5  # the first, three halvings, alone once more: what is well was asked in between
        assert ask(host, "a") == ["A"]


def test_however_many_poison_requests_there_are_the_others_are_answered() -> None:
    """More in a row than any fixed number of restarts would allow."""
    questions = ["poison" if number in range(8, 24) else f"q{number}" for number in range(32)]
    with fake() as host:
        for asked, answer in zip(questions, ask(host, *questions), strict=True):
            assert ("SIGKILL" in answer) if asked == "poison" else (answer == asked.upper())


def test_an_engine_that_stops_answering_is_not_asked_for_ever(tmp_path: Path) -> None:
    """It answered before, so that the next batch may be to blame; then it fails at what it had answered."""
    with fake(f"tires:{tmp_path}") as host:
        assert ask(host, "a") == ["A"]
        (tmp_path / "tired").touch()
        with pytest.raises(errors.EngineDiedError):
            ask(host, *"bcdefgh")
        assert host.loads < 20


def test_a_request_that_the_engine_cannot_take_is_an_error_in_one_line() -> None:
    with fake() as host:
        assert ask(host, "a", "raise", "c") == ["A", "ValueError: a library's own complaint", "C"]


def test_a_request_that_hangs_is_an_error() -> None:
    with fake(batch_timeout_s=1) as host:
        assert ask(host, "hang", "b") == ["the engine gave no answer within 1 s", "B"]


def test_an_engine_that_fails_at_everything_is_an_error_for_all() -> None:
    with fake() as host, pytest.raises(errors.EngineDiedError):
        ask(host, *["poison"] * 8)


def test_a_child_that_somebody_killed_between_batches_is_replaced() -> None:
    with fake() as host:
        ask(host, "a")
        os.kill(child_of(host), signal.SIGKILL)
        assert ask(host, "b", "c") == ["B", "C"]
        assert host.loads == 2


def test_closing_leaves_no_process_of_the_family(tmp_path: Path) -> None:
    host = fake(f"family:{tmp_path}")
    host.load()
    group = child_of(host)
    assert len(members(group)) >= 3  # child, guard, grandchild
    host.close()
    assert_gone(group, within_s=2)
    host.close()


def test_killing_the_child_leaves_no_process_of_the_family(tmp_path: Path) -> None:
    with fake(f"family:{tmp_path}") as host:
        host.load()
        group = child_of(host)
        os.kill(group, signal.SIGKILL)
        assert_gone(group, within_s=10)


PARENT = """
import sys, threading, time
from benchcoe_jobs.domain import Decoding, Request
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.engine_client import EngineClient
host = EngineClient(ExpertSettings("fake", sys.argv[1]))
host.load()
print("loaded", flush=True)
host.run([Request(sys.argv[2])], Decoding())
time.sleep(600)
"""


@pytest.mark.parametrize("busy_with", ["hang", "nothing"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killing_the_parent_leaves_no_process_of_the_family(
    tmp_path: Path, busy_with: str, number: signal.Signals
) -> None:
    command = [sys.executable, "-c", PARENT, f"family:{tmp_path}", busy_with]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"loaded\n"
        group = int((tmp_path / "pids").read_text().split()[0])
        assert len(members(group)) >= 3
        parent.send_signal(number)
    assert_gone(group, within_s=10)


def test_an_interrupted_batch_leaves_no_answer_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with fake() as host:
        host.load()
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            with pytest.raises(KeyboardInterrupt):
                ask(host, "hang")
        finally:
            signal.signal(signal.SIGALRM, before)
        assert ask(host, "b") == ["B"]


def eager() -> EngineClient:
    return EngineClient(ExpertSettings("eager", "well"))


def batches(*questions: str) -> Iterator[MicroBatch]:
    """A batch for every word; a letter of it is a question, and a capital's is a word that the engine acts on."""
    acts = {"P": "poison", "R": "raise"}
    for word in questions:
        yield [Request(acts.get(letter, letter)) for letter in word], GREEDY


def said(answers: Iterable[list[Completion]]) -> list[str]:
    """The answers of each batch as a word, with a capital X for an error."""
    return ["".join("X" if one.error else one.text.lower() for one in batch) for batch in answers]


@pytest.mark.parametrize("engine", ["fake", "eager"])
def test_a_stream_of_batches_is_answered_in_order(engine: str) -> None:
    with EngineClient(ExpertSettings(engine, "well")) as host:
        assert said(host.stream(batches("ab", "c", "def", "g", "h"))) == ["ab", "c", "def", "g", "h"]
        assert said(host.stream(batches())) == []
        assert host.loads == 1


def test_the_next_batches_are_sent_before_one_is_done() -> None:
    sent: list[MicroBatch] = []

    def noted() -> Iterator[MicroBatch]:
        for batch in batches(*"abcdefgh"):
            sent.append(batch)
            yield batch

    with eager() as host:
        answers = host.stream(noted())
        first = next(answers)
        assert len(sent) == 1 + 2
        # How many of those the child has taken on when it turns to one is a race.
        assert max(batch[0].shots_used for batch in [first, *answers]) in {1, 2}
        assert len(sent) == 8


def test_large_batches_under_way_together_do_not_wait_for_each_other() -> None:
    """Neither end may be at sending while the other one is."""
    large = [([Request("x" * 3_000_000)], GREEDY)] * 6
    with eager() as host:
        assert [len(batch[0].text) for batch in host.stream(large)] == [3_000_000] * 6


@pytest.mark.parametrize("engine", ["fake", "eager"])
@pytest.mark.parametrize(("sent", "expected"), [("aPb c d e", "aXb c d e"), ("a bR P dPe f", "a bX X dXe f")])
def test_what_fails_in_a_stream_costs_no_other_its_answer(engine: str, sent: str, expected: str) -> None:
    with EngineClient(ExpertSettings(engine, "well")) as host:
        assert said(host.stream(batches(*sent.split()))) == expected.split()


def test_a_stream_that_is_left_leaves_no_answer_for_the_next() -> None:
    with eager() as host:
        answers = host.stream(batches(*"abcdef"))
        assert said([next(answers)]) == ["a"]
        answers.close()
        assert ask(host, "z") == ["Z"]


def test_the_child_sees_the_gpus_that_it_is_given() -> None:
    with EngineClient(ExpertSettings("fake", "well"), gpus="3") as host:
        host.load()
        environment = Path(f"/proc/{child_of(host)}/environ").read_bytes().split(b"\0")
        assert b"CUDA_VISIBLE_DEVICES=3" in environment


def test_the_parent_imports_no_model_library() -> None:
    code = (
        "import sys, benchcoe_jobs.engines.engine_client; "
        "print({'torch', 'transformers', 'vllm', 'numpy', 'httpx2', 'PIL'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_settings_that_an_engine_cannot_honour_are_refused() -> None:
    settings = ExpertSettings("transformers", "m")
    settings.require_default("base_url")
    with pytest.raises(UsageError, match="engine transformers has no setting base_url"):
        replace(settings, base_url="http://localhost").require_default("base_url")


def child_of(host: EngineClient) -> int:
    assert host._child is not None
    return host._child._process.pid


def members(group: int) -> list[int]:
    """Processes of a group; a zombie is none."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its_group) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def assert_gone(group: int, *, within_s: float) -> None:
    wait_for(lambda: not members(group), within_s)


def wait_for(done: Callable[[], bool], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline, "too late"
        time.sleep(0.05)
