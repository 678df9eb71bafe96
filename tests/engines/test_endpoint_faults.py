"""Only faults of the account and the endpoint end a run, and what was answered before is not lost."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest
from scripted_endpoint import CHAT, PLAIN, PROBE, Body, Reply, Script, ask, refused, said, scripted, text_of

from benchcoe_jobs.domain import Completion
from benchcoe_jobs.engines.errors import AccessDeniedError, EndpointDownError, EngineError, ModelNotFoundError

FLAGGED = "flagged"


class Gateway:
    """Answers all questions but flagged ones; from `broken` on, it gives that reply to everything else as well."""

    def __init__(self, status: int = 403) -> None:
        self.broken: Callable[[], Reply] | None = None
        self.after = 0
        self.n = 0
        self._status = status

    def __call__(self, path: str, body: Body) -> Reply:
        if text_of(body) == FLAGGED:
            return refused(self._status, "Your input was flagged by moderation")
        self.n += text_of(body) != PROBE
        if self.broken is not None and self.n > self.after:
            return self.broken()
        return said("ok")


def outcome(one: Completion) -> str:
    return one.text if one.error is None else "error"


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_refused_prompt_is_an_error_beside_answers(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    with scripted(monkeypatch, Script(Gateway(status), passes_probe=True)) as engine:
        answers = ask(engine, "a", FLAGGED, "b")
        assert [outcome(one) for one in answers] == ["ok", "error", "ok"]
        assert "flagged by moderation" in str(answers[1].error)


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("n", [1, 3])
def test_refused_prompts_alone_are_errors_if_the_endpoint_still_answers(
    monkeypatch: pytest.MonkeyPatch, status: int, n: int
) -> None:
    """The last micro-batch of a run, or the same command once more: it gets past them."""
    script = Script(Gateway(status), passes_probe=True)
    with scripted(monkeypatch, script) as engine:
        assert [outcome(one) for one in ask(engine, *[FLAGGED] * n)] == ["error"] * n
        assert [text_of(body) for _, body in script.seen] == [FLAGGED] * n + [PROBE]


@pytest.mark.parametrize(
    ("broken", "kind", "words"),
    [
        (lambda: refused(401, "revoked"), AccessDeniedError, "401: revoked; the expert names no api_key_env"),
        (lambda: refused(402, "no credit"), AccessDeniedError, "402: no credit; check the account"),
        (lambda: refused(429, "quota", code="insufficient_quota"), AccessDeniedError, "429: quota; check the account"),
        (lambda: refused(503, "down", {"Retry-After": "900"}), EndpointDownError, "503: down"),
    ],
)
def test_a_fault_in_the_middle_ends_the_run_with_what_was_answered(
    monkeypatch: pytest.MonkeyPatch, broken: Callable[[], Reply], kind: type[EngineError], words: str
) -> None:
    """The others are left open: neither answers nor errors. The refusal of one prompt stays an error of that one."""
    gateway = Gateway(400)
    with scripted(monkeypatch, Script(gateway, passes_probe=True)) as engine:
        gateway.broken, gateway.after = broken, gateway.n + 2
        with pytest.raises(kind, match=words) as raised:
            ask(engine, "a", FLAGGED, "b", "c", "d")
    assert {index: outcome(one) for index, one in raised.value.answered.items()} == {0: "ok", 1: "error", 2: "ok"}


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (lambda: refused(403, "no access"), AccessDeniedError),
        (lambda: refused(404, "no such model"), ModelNotFoundError),
        (lambda: refused(500, "down", {"Retry-After": "900"}), EndpointDownError),
    ],
)
def test_if_nothing_gets_through_the_endpoint_is_at_fault(
    monkeypatch: pytest.MonkeyPatch, broken: Callable[[], Reply], kind: type[EngineError]
) -> None:
    gateway = Gateway()
    with scripted(monkeypatch, Script(gateway, passes_probe=True)) as engine:
        gateway.broken = broken
        with pytest.raises(kind) as raised:
            ask(engine, "a", "b")
    assert raised.value.answered == {}


def test_a_prompt_that_crashes_its_server_is_an_error_of_that_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    def reply(_: str, body: Body) -> Reply:
        crashes = text_of(body) == "crash"
        return refused(500, "internal error", {"Retry-After": "900"}) if crashes else said("ok")

    with scripted(monkeypatch, Script(reply, passes_probe=True)) as engine:
        assert outcome(ask(engine, "crash")[0]) == "error"


def test_timeouts_one_after_the_other_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(monkeypatch, Script(lambda *_: 60.0), timeout_s=0.05) as engine:
        assert [outcome(one) for one in ask(engine, "a", "b", "c")] == ["error"] * 3
        with pytest.raises(EndpointDownError, match=r"4 requests in a row .*--timeout"):
            ask(engine, "d")


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_refused_key_is_reported_at_load(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    script = Script(lambda *_: refused(status, "no"), passes_probe=True)
    with pytest.raises(AccessDeniedError, match=f"{status}: no"), scripted(monkeypatch, script):
        pass


def models(path: str, _: Body) -> Reply:
    if path.endswith("/models"):
        return {"data": [{"id": "llama3:latest"}, "odd", {"id": "b\nc"}]}
    return refused(404, "the model does not exist")


def test_a_model_that_the_endpoint_does_not_know_is_reported_with_those_that_it_lists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (
        pytest.raises(
            ModelNotFoundError, match=r"404: the model does not exist; .*the endpoint lists llama3:latest, b c"
        ),
        scripted(monkeypatch, Script(models, passes_probe=True)),
    ):
        pass


def test_another_model_is_reported_at_load_before_anything_is_bought(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(lambda *_: said("ok", model="other"), passes_probe=True)
    with pytest.raises(ModelNotFoundError, match="answered as model other, not as m"), scripted(monkeypatch, script):
        pass
    with scripted(monkeypatch, script, accept_model=["oth*"]) as engine:
        assert ask(engine, "a")[0].text == "ok"


def test_another_model_later_is_an_error_of_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(lambda _, body: said("ok", model="m" if text_of(body) == "a" else "other"))
    with scripted(monkeypatch, script) as engine:
        assert [outcome(one) for one in ask(engine, "a", "b")] == ["ok", "error"]


def only(existing: str, status: int) -> Callable[[str, Body], Reply]:
    return lambda path, _: said("ok") if path == existing else refused(status, "not here")


@pytest.mark.parametrize("status", [400, 403, 404, 405, 422, 501])
def test_an_endpoint_with_chat_completions_only(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """A plain prompt becomes a message of the user, which is part of the run's fingerprint."""
    script = Script(only(CHAT, status), passes_probe=True)
    with scripted(monkeypatch, script) as engine:
        assert ask(engine, "a")[0].text == "ok"
        assert script.seen[0][1]["messages"] == [{"role": "user", "content": "a"}]
        assert engine.version()["api"] == "chat"


def test_the_form_of_plain_prompts_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(lambda *_: said("ok"), passes_probe=True)
    for api, path in (("chat", CHAT), ("completions", PLAIN), ("auto", PLAIN)):
        with scripted(monkeypatch, script, api=api) as engine:
            ask(engine, "a")
            assert script.seen[0][0] == path
            [conversation] = ask(engine, "a", chat=True)
            assert outcome(conversation) == ("error" if api == "completions" else "ok")
    with pytest.raises(ModelNotFoundError), scripted(monkeypatch, Script(only(CHAT, 404), True), api="completions"):
        pass


def test_a_refused_probe_does_not_end_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """For example because its limit is below the smallest that the endpoint takes."""
    script = Script(
        lambda _, body: refused(400, "too few") if text_of(body) == PROBE else said("ok"), passes_probe=True
    )
    with scripted(monkeypatch, script) as engine:
        assert ask(engine, "a")[0].text == "ok"
        assert script.seen[0][0] == PLAIN


def test_a_slow_start_of_the_endpoint_is_not_one_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(lambda *_: 60.0, passes_probe=True)
    with pytest.raises(EndpointDownError, match=r"within 0\.05 s"), scripted(monkeypatch, script, timeout_s=0.05):
        pass


def test_without_a_limit_the_answer_gets_the_room_beside_its_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Completions stop after 16 tokens without a limit, so one is named; chat completions need none."""

    def reply(path: str, body: Body) -> Reply:
        limit = body.get("max_tokens", 0)
        if limit > 4076:
            return refused(
                400,
                f"This model's maximum context length is 4096 tokens. However, you requested {limit + 20} tokens "
                f"(20 in the messages, {limit} in the completion).",
            )
        return said("ok")

    script = Script(reply)
    with scripted(monkeypatch, script) as engine:
        assert ask(engine, "a", max_new_tokens=None)[0].text == "ok"
        assert [body["max_tokens"] for _, body in script.seen] == [1 << 16, 4076]
        script.seen.clear()
        assert ask(engine, "a", max_new_tokens=None, chat=True)[0].text == "ok"
        assert "max_tokens" not in script.seen[0][1]


def test_a_chat_endpoint_that_wants_a_limit_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(lambda _, body: said("ok") if "max_tokens" in body else refused(400, "max_tokens: Field required"))
    with scripted(monkeypatch, script) as engine:
        assert ask(engine, "a", max_new_tokens=None, chat=True)[0].text == "ok"


def test_a_response_that_breaks_off_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchcoe_jobs.engines.endpoints.endpoint._FIRST_PAUSE_S", 0.001)
    failures = iter([True, True, False])

    def reply(_: str, body: Body) -> Reply:
        if next(failures):
            raise httpx2.RemoteProtocolError("server disconnected")
        return said("ok")

    with scripted(monkeypatch, Script(reply)) as engine:
        assert ask(engine, "a")[0].text == "ok"
