"""What an endpoint's refusal means: try again, wrong key, no such model, or this request alone.

A refusal is an HTTP status with an error, or an error inside of an answer with status 200, which gateways send if the
provider behind them fails.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from benchcoe_jobs.engines.errors import (
    AccessDeniedError,
    AnswerTimeoutError,
    EngineError,
    ModelNotFoundError,
    RefusedError,
)
from benchcoe_jobs.masking import first_line

_BUSY = frozenset({408, 409, 425, 429})
# A gateway gave up on a generation that the model may have finished, and charged for.
_GATEWAY_TIMEOUT = frozenset({504, 524})
_NOT_IMPLEMENTED = frozenset({501, 505})
_NO_CREDIT = re.compile(
    r"insufficient[ _](quota|balance|credits?|funds)|credit balance|billing_hard_limit|payment required", re.IGNORECASE
)

# Providers that do not answer 404 for a model that they do not have.
_NO_MODEL = re.compile(
    r"model_not_found|invalid_model|(invalid|unknown|no such) model\b"
    r"|model\b[^.]{0,80}(does not exist|not exist|not found)",
    re.IGNORECASE,
)

# Much more than is shown: secrets are masked in it.
_MOST_CHARACTERS = 20_000

# Of a number in a header.
_MOST_DIGITS = 50

# Codes in words, of errors inside of answers.
_WORDS = {
    "rate_limit": 429,
    "overload": 503,
    "unavailable": 503,
    "timeout": 504,
    "server_error": 500,
    "internal": 500,
    "api_key": 401,
    "authentication": 401,
    "permission": 403,
    "model_not_found": 404,
}


class RetryableError(Exception):
    """One exchange that failed; `after_s` is the pause that the endpoint asks for, in seconds.

    `may_be_charged`: the endpoint may have generated an answer, so that another exchange would buy it again.
    """

    def __init__(self, why: str, after_s: float = 0.0, *, may_be_charged: bool = False) -> None:
        super().__init__(why)
        self.after_s = after_s
        self.may_be_charged = may_be_charged


class Detail(NamedTuple):
    """The parts of an error in OpenAI's format; of any other body the text."""

    message: str
    code: str = ""
    parameter: str | None = None


def detail(body: Any) -> Detail:
    """What an error says, from its parsed JSON or its text, without secrets."""
    error = (body.get("error") or body) if isinstance(body, Mapping) else body
    if not isinstance(error, Mapping):
        return Detail(_line(error))
    code = " ".join(str(error[key])[:100] for key in ("code", "type") if isinstance(error.get(key), str | int))
    parameter = error.get("param")
    message = error.get("message") or error.get("detail") or error
    return Detail(_line(message), code, parameter if isinstance(parameter, str) else None)


def embedded(answer: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The error inside of an answer with status 200, None if there is none."""
    if answer.get("error"):
        return answer
    if answer.get("object") == "error":
        return answer
    choices = answer.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, Mapping) and choice.get("error"):
            return choice
    return None


def embedded_status(said: Detail) -> int:
    """The HTTP status that an error inside of an answer stands for; 400 if it names none."""
    for word in said.code.split():
        if re.fullmatch(r"[45]\d\d", word):
            return int(word)
    return next((status for word, status in _WORDS.items() if word in said.code.lower()), 400)


def meaning(
    status: int, said: Detail, *, endpoint: str, key_variable: str | None, headers: Mapping[str, str]
) -> EngineError | RetryableError:
    """The error that a status and its text stand for. `headers` are those of the response."""
    refusal = f"{endpoint} answers {status}: {said.message}"
    no_credit = status == 402 or _NO_CREDIT.search(f"{said.code} {said.message}") is not None
    if no_credit:
        return AccessDeniedError(f"{refusal}; check the account's credit", status=402)
    if status in _GATEWAY_TIMEOUT:
        return AnswerTimeoutError(f"{refusal}; not asked again, because the answer may have been charged for")
    if status in _BUSY or (status >= 500 and status not in _NOT_IMPLEMENTED):
        return RetryableError(refusal, pause(headers))
    if status in {401, 403}:
        hint = f"check the key in {key_variable}" if key_variable else "the expert names no api_key_env"
        return AccessDeniedError(f"{refusal}; {hint}", status=status)
    if status == 404 or (status in {400, 422} and _NO_MODEL.search(f"{said.code} {said.message}")):
        return ModelNotFoundError(f"{refusal}; check base_url and model", status=status)
    if status < 400:
        return ModelNotFoundError(f"{refusal}; name the place that it redirects to as base_url", status=status)
    return RefusedError(refusal, status=status, parameter=said.parameter)


def pause(headers: Mapping[str, str]) -> float:
    """The seconds that a response asks to wait; 0 if it names none, or none that can be read.

    Retry-After is a number or a date (RFC 9110, 10.2.3); OpenAI and Azure also send it in milliseconds.
    """
    milliseconds = _number(headers.get("Retry-After-Ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("Retry-After", "")
    seconds = _number(value)
    if seconds is not None:
        return seconds
    try:
        return max(0.0, (parsedate_to_datetime(value).astimezone(UTC) - datetime.now(UTC)).total_seconds())
    except Exception:  # the parser raises several types for what is no date, or a date out of range
        return 0.0


def _number(text: str) -> float | None:
    try:
        number = float(text) if len(text) < _MOST_DIGITS else math.nan
    except ValueError:
        return None
    return None if math.isnan(number) else max(0.0, number)


def _line(message: Any) -> str:
    try:
        text = str(message).lstrip()
    except RecursionError:
        text = "an error that is nested too deeply to be shown"
    return first_line(Exception(text[:_MOST_CHARACTERS]))
