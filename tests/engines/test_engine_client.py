"""The engine client: errors keep their type, one bad request costs no other its answer, and no process is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import plugin_distribution
import pytest
from process_groups import assert_gone, members, server_pid

from benchcoe_jobs.domain import UNANSWERED, Completion, Decoding, Request
from benchcoe_jobs.engines import errors
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.engine_client import EngineClient, MicroBatch
from benchcoe_jobs.errors import BenchcoeError, MissingError, UsageError

GREEDY = Decoding()


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake engines, as plug-ins."""
    engines = "[benchcoe_jobs.engines]\nfake = fake_engine:FakeEngine\nprefetching = fake_engine:PrefetchingEngine\n"
    plugin_distribution.install(tmp_path, monkeypatch, "fake-engine", engines)


def fake(model: str = "well", **settings: float) -> EngineClient:
    return EngineClient(ExpertSettings("fake", model), **settings)


def ask(client: EngineClient, *questions: str) -> list[str]:
    """The text of each answer, or its error."""
    completions = client.run([Request(question) for question in questions], GREEDY)
    return [completion.error or completion.text for completion in completions]


def test_answers_come_in_order_and_the_expert_is_loaded_once() -> None:
    with fake() as client:
        assert ask(client, "a", "b", "c") == ["A", "B", "C"]
        assert ask(client, "d") == ["D"]
        assert client.version() == {"engine": "fake"}
        assert client.loads == 1


def test_output_of_the_process_is_not_taken_for_an_answer() -> None:
    with fake() as client:
        assert ask(client, "noise", "b" * 1_000_000) == ["NOISE", "B" * 1_000_000]


@pytest.mark.parametrize(
    ("model", "kind", "words"),
    [
        ("no-memory", errors.OutOfMemoryError, "900 GiB"),
        ("cuda", errors.OutOfMemoryError, "CUDA out of memory"),
        ("exits", errors.EngineExitedError, "exit code 7; its last output: cannot open libsomething.so"),
    ],
)
def test_load_errors_keep_their_type(model: str, kind: type[BenchcoeError], words: str) -> None:
    with fake(model) as client, pytest.raises(kind, match=words):
        client.load()


def test_a_load_that_hangs_is_ended_after_the_timeout() -> None:
    started = time.monotonic()
    with fake("hangs", load_timeout_s=2) as client, pytest.raises(errors.EngineTimeoutError, match="within 2 s"):
        client.load()
    assert time.monotonic() - started < 60  # not the 600 s that it sleeps


def test_a_server_killed_during_the_load_is_started_again(tmp_path: Path) -> None:
    with fake(f"killed-once:{tmp_path}") as client:
        assert ask(client, "a") == ["A"]


@pytest.mark.parametrize(("missing", "extra"), [("transformers", "engines"), ("vllm", "vllm"), ("openai", "endpoints")])
def test_a_missing_package_is_an_error_with_the_command_that_installs_it(
    missing: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = "httpx2" if missing == "openai" else missing
    (tmp_path / "site" / f"{package}.py").write_text("raise ImportError('not here')\n")
    settings = ExpertSettings(missing, "model")
    with (
        EngineClient(settings) as client,
        pytest.raises(MissingError, match=rf"pip install 'benchcoe-jobs\[{extra}\]'") as raised,
    ):
        client.load()
    assert raised.value.exit_code == 4


def test_an_unknown_engine_names_the_known_ones() -> None:
    with (
        EngineClient(ExpertSettings("magic", "m")) as client,
        pytest.raises(UsageError, match="known are fake, openai, prefetching, transformers, vllm"),
    ):
        client.load()


def test_a_request_that_kills_the_engine_costs_no_other_its_answer() -> None:
    with fake() as client:
        answers = ask(client, "a", "b", "c", "poison", "e", "f", "g", "h")
        assert answers[:3] + answers[4:] == ["A", "B", "C", "E", "F", "G", "H"]
        assert "SIGKILL" in answers[3]
        assert client.loads == 5  # the first, three halvings, and alone once more
        assert ask(client, "a") == ["A"]


def test_many_requests_that_kill_the_engine_cost_no_other_its_answer() -> None:
    """More in a row than a fixed limit of restarts would allow."""
    questions = ["poison" if number in range(4, 12) else f"q{number}" for number in range(16)]
    with fake() as client:
        for question, answer in zip(questions, ask(client, *questions), strict=True):
            assert ("SIGKILL" in answer) if question == "poison" else (answer == question.upper())


def test_an_engine_that_stops_answering_is_not_restarted_forever(tmp_path: Path) -> None:
    """It has answered before, so the next micro-batch could be to blame; then it fails at a request it had answered."""
    with fake(f"fails-later:{tmp_path}") as client:
        assert ask(client, "a") == ["A"]
        (tmp_path / "fail").touch()
        with pytest.raises(errors.EngineExitedError):
            ask(client, *"bcdefgh")
        assert client.loads < 20


def test_a_request_that_raises_is_an_error_in_one_line() -> None:
    with fake() as client:
        assert ask(client, "a", "raise", "c") == ["A", "ValueError: a library's own complaint", "C"]


def test_a_request_that_hangs_is_an_error() -> None:
    with fake(batch_timeout_s=1) as client:
        assert ask(client, "hang", "b") == ["the engine gave no answer within 1 s", "B"]


def test_an_engine_that_fails_at_everything_is_an_error_for_all() -> None:
    with fake() as client, pytest.raises(errors.EngineExitedError):
        ask(client, *["poison"] * 8)


def test_a_server_killed_between_calls_is_replaced() -> None:
    with fake() as client:
        ask(client, "a")
        os.kill(server_pid(client), signal.SIGKILL)
        assert ask(client, "b", "c") == ["B", "C"]
        assert client.loads == 2


def test_closing_leaves_no_process_of_the_group(tmp_path: Path) -> None:
    client = fake(f"starts-process:{tmp_path}")
    client.load()
    group = server_pid(client)
    assert len(members(group)) >= 3  # server, watchdog, and the process that the engine started
    client.close()
    assert_gone(group)
    client.close()


def test_killing_the_server_leaves_no_process_of_the_group(tmp_path: Path) -> None:
    with fake(f"starts-process:{tmp_path}") as client:
        client.load()
        group = server_pid(client)
        os.kill(group, signal.SIGKILL)
        assert_gone(group)


PARENT = """
import sys, threading, time
from benchcoe_jobs.domain import Decoding, Request
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.engine_client import EngineClient
client = EngineClient(ExpertSettings("fake", sys.argv[1]))
client.load()
print("loaded", flush=True)
client.run([Request(sys.argv[2])], Decoding())
time.sleep(600)
"""


@pytest.mark.parametrize("busy_with", ["hang", "nothing"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killing_the_client_leaves_no_process_of_the_group(
    tmp_path: Path, busy_with: str, number: signal.Signals
) -> None:
    command = [sys.executable, "-c", PARENT, f"starts-process:{tmp_path}", busy_with]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"loaded\n"
        group = int((tmp_path / "pids").read_text().split()[0])
        assert len(members(group)) >= 3
        parent.send_signal(number)
    assert_gone(group)


def test_an_interrupted_call_leaves_no_answer_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with fake() as client:
        client.load()
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            with pytest.raises(KeyboardInterrupt):
                ask(client, "hang")
        finally:
            signal.signal(signal.SIGALRM, before)
        assert ask(client, "b") == ["B"]


def prefetching() -> EngineClient:
    return EngineClient(ExpertSettings("prefetching", "well"))


def batches(*questions: str) -> Iterator[MicroBatch]:
    """A micro-batch for each word, and a request for each letter.

    P kills the engine, R raises, and at K the key is revoked.
    """
    bad = {"P": "poison", "R": "raise", "K": "revoked"}
    for word in questions:
        yield [Request(bad.get(letter, letter)) for letter in word], GREEDY


def words(answers: Iterable[list[Completion]]) -> list[str]:
    """The answers of each micro-batch as a word, with X for an error."""
    return ["".join("X" if one.error else one.text.lower() for one in batch) for batch in answers]


@pytest.mark.parametrize("engine", ["fake", "prefetching"])
def test_a_stream_of_batches_is_answered_in_order(engine: str) -> None:
    with EngineClient(ExpertSettings(engine, "well")) as client:
        assert words(client.stream(batches("ab", "c", "def", "g", "h"))) == ["ab", "c", "def", "g", "h"]
        assert words(client.stream(batches())) == []
        assert client.loads == 1


def test_the_next_batches_are_sent_before_one_is_done() -> None:
    sent: list[MicroBatch] = []

    def logged() -> Iterator[MicroBatch]:
        for batch in batches(*"abcdefgh"):
            sent.append(batch)
            yield batch

    with prefetching() as client:
        answers = client.stream(logged())
        first = next(answers)
        assert len(sent) == 1 + 2
        # How many of them the server has read when it runs one is a race.
        assert max(batch[0].shots_used for batch in [first, *answers]) in {1, 2}
        assert len(sent) == 8


def test_large_messages_in_both_directions_do_not_block_each_other() -> None:
    """Both ends may send at the same time, so both must also read."""
    large = [([Request("x" * 3_000_000)], GREEDY)] * 6
    with prefetching() as client:
        assert [len(batch[0].text) for batch in client.stream(large)] == [3_000_000] * 6


@pytest.mark.parametrize("engine", ["fake", "prefetching"])
@pytest.mark.parametrize(("sent", "expected"), [("aPb c d e", "aXb c d e"), ("a bR P dPe f", "a bX X dXe f")])
def test_a_failure_in_a_stream_costs_no_other_request_its_answer(engine: str, sent: str, expected: str) -> None:
    with EngineClient(ExpertSettings(engine, "well")) as client:
        assert words(client.stream(batches(*sent.split()))) == expected.split()


@pytest.mark.parametrize("engine", ["fake", "prefetching"])
@pytest.mark.parametrize(
    ("sent", "expected"),
    [("ab cKd e", ["ab", "c--"]), ("ab Kd e", ["ab"]), ("ab cRdKe f", ["ab", "--d--"]), ("aP bKc d", ["aX", "b--"])],
)
def test_a_fault_that_ends_a_stream_costs_no_answer(engine: str, sent: str, expected: list[str]) -> None:
    """What was answered before comes first, and the others are left open; then the fault is raised, once."""
    found: list[str] = []

    def read_all(answers: Iterable[list[Completion]]) -> None:
        for batch in answers:
            found.append("".join("-" if one == UNANSWERED else words([[one]])[0] for one in batch))

    with EngineClient(ExpertSettings(engine, "well")) as client, pytest.raises(errors.AccessDeniedError) as raised:
        read_all(client.stream(batches(*sent.split())))
    assert found == expected
    assert str(raised.value) == "the key was revoked"


def test_a_slow_endpoint_has_the_time_that_its_expert_is_given() -> None:
    slow = ExpertSettings("openai", "m", base_url="http://test/v1", timeout_s=3600, batch_size=2)
    assert EngineClient(slow)._longest_wait_s(5) >= 3 * (3600 + 600)
    assert EngineClient(ExpertSettings("transformers", "m"), batch_timeout_s=7)._longest_wait_s(500) == 7


def test_a_stream_that_is_closed_leaves_no_answer_for_the_next_call() -> None:
    with prefetching() as client:
        answers = client.stream(batches(*"abcdef"))
        assert words([next(answers)]) == ["a"]
        answers.close()
        assert ask(client, "z") == ["Z"]


def test_the_server_sees_only_the_gpus_that_it_is_given() -> None:
    with EngineClient(ExpertSettings("fake", "well"), gpus="3") as client:
        client.load()
        environment = Path(f"/proc/{server_pid(client)}/environ").read_bytes().split(b"\0")
        assert b"CUDA_VISIBLE_DEVICES=3" in environment


def test_the_client_imports_no_model_library() -> None:
    code = (
        "import sys, benchcoe_jobs.engines.engine_client; "
        "print({'torch', 'transformers', 'vllm', 'numpy', 'httpx2', 'PIL'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_settings_that_an_engine_does_not_support_are_refused() -> None:
    settings = ExpertSettings("transformers", "m")
    settings.require_default("base_url")
    with pytest.raises(UsageError, match="engine transformers has no setting base_url"):
        replace(settings, base_url="http://localhost").require_default("base_url")
