"""What a status and an error mean: try again, the account, the model, or this request alone."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchcoe_jobs.engines.endpoints import refusals
from benchcoe_jobs.engines.endpoints.refusals import Detail, RetryableError
from benchcoe_jobs.engines.errors import AccessDeniedError, AnswerTimeoutError, ModelNotFoundError, RefusedError


def meaning(status: int, message: str = "no", code: str = "") -> Exception:
    said = Detail(message, code)
    return refusals.meaning(status, said, endpoint="host", key_variable="KEY", headers={})


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *[(status, RetryableError) for status in (408, 409, 425, 429, 500, 502, 503, 520, 529)],
        *[(status, RefusedError) for status in (400, 405, 413, 422, 451, 501)],
        *[(status, AccessDeniedError) for status in (401, 402, 403)],
        *[(status, ModelNotFoundError) for status in (301, 302, 308, 404)],
        *[(status, AnswerTimeoutError) for status in (504, 524)],
    ],
)
def test_what_a_status_means(status: int, kind: type[Exception]) -> None:
    error = meaning(status)
    assert type(error) is kind
    assert str(error).startswith(f"host answers {status}: no")


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (429, "You exceeded your current quota", "insufficient_quota"),
        (400, "Your credit balance is too low to access the API", "invalid_request_error"),
        (403, "Insufficient balance", ""),
    ],
)
def test_an_empty_account_is_a_fault_of_the_account(status: int, message: str, code: str) -> None:
    """Also where its status says try again, or wrong request."""
    assert isinstance(meaning(status, message, code), AccessDeniedError)


@pytest.mark.parametrize(
    ("message", "code", "kind"),
    [
        ("Invalid model: x", "", ModelNotFoundError),
        ("Model Not Exist", "", ModelNotFoundError),
        ("The model `x` does not exist", "", ModelNotFoundError),
        ("no", "model_not_found", ModelNotFoundError),
        ("this model does not accept images", "", RefusedError),
        ("'temperature' is not supported with this model. It was not found", "", RefusedError),
    ],
)
def test_a_model_that_is_refused_without_a_404(message: str, code: str, kind: type[Exception]) -> None:
    assert type(meaning(400, message, code)) is kind


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 429}, 429),
        ({"code": "429"}, 429),
        ({"code": 502, "message": "Provider returned error"}, 502),
        ({"code": "rate_limit_exceeded"}, 429),
        ({"type": "overloaded_error"}, 503),
        ({"type": "server_error", "code": None}, 500),
        ({"code": "invalid_api_key"}, 401),
        ({"code": "model_not_found"}, 404),
        ({"code": "context_length_exceeded"}, 400),
        ({"code": 20015}, 400),
        ({"code": True}, 400),
        ("something", 400),
    ],
)
def test_the_status_of_an_error_inside_of_an_answer(error: Any, status: int) -> None:
    assert refusals.embedded_status(refusals.detail({"error": error})) == status


@pytest.mark.parametrize(
    ("answer", "is_error"),
    [
        ({"choices": [{"text": "a"}]}, False),
        ({"choices": [{"text": "a"}], "error": None}, False),
        ({"choices": None, "error": {"message": "x"}}, True),
        ({"object": "error", "message": "x"}, True),
        ({"choices": [{"text": "a", "error": {"code": 502}}]}, True),
        ({"choices": 7}, False),
    ],
)
def test_errors_inside_of_an_answer(answer: dict[str, Any], is_error: bool) -> None:
    assert (refusals.embedded(answer) is not None) is is_error


@pytest.mark.parametrize(
    ("body", "message", "parameter"),
    [
        ({"error": {"message": "no", "param": "stop"}}, "no", "stop"),
        ({"error": {"message": "no", "param": 7}}, "no", None),
        ({"error": "no"}, "no", None),
        ({"detail": "no"}, "no", None),
        ({"detail": [{"loc": ["body", "stop"], "msg": "extra"}]}, "[{'loc': ['body', 'stop'], 'msg': 'extra'}]", None),
        ("no\nmore", "no", None),
        ([1, 2], "[1, 2]", None),
        ({"error": {"message": None, "code": 3}}, "{'message': None, 'code': 3}", None),
        ("", "Exception", None),
    ],
)
def test_the_message_of_an_error(body: Any, message: str, parameter: str | None) -> None:
    said = refusals.detail(body)
    assert (said.message, said.parameter) == (message, parameter)


NO_PAUSES = [
    *["", "nan", "-3", "soon", "1, 2", "9" * 5000 + "x", "Thu, 99 Foo 1 1:1:1 X"],
    *["Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00:00:00 +2359"],
]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "3"}, 3.0),
        ({"Retry-After": " 2.5 "}, 2.5),
        ({"Retry-After-Ms": "250", "Retry-After": "1"}, 0.25),
        ({"Retry-After": "inf"}, math.inf),
        *[({"Retry-After": value}, 0.0) for value in NO_PAUSES],
    ],
)
def test_the_pause_that_a_response_asks_for(headers: dict[str, str], seconds: float) -> None:
    assert refusals.pause(headers) == seconds


def test_the_pause_until_a_date() -> None:
    value = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 97 < refusals.pause({"Retry-After": value}) <= 100


@settings(deadline=None)
@given(st.text(max_size=60))
@example("Tue, 29 Feb 2100 24:00:00 GMT")
def test_any_pause_is_a_number(value: str) -> None:
    assert refusals.pause({"Retry-After": value}) >= 0
