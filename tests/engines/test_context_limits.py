"""The largest limit that an endpoint accepts, from what its refusals say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchcoe_jobs.engines.context_limits import Room, is_too_long, requires_limit
from benchcoe_jobs.engines.errors import RefusedError

CONTEXT, PROMPT = 4096, 20

OLD_VLLM = (
    "This model's maximum context length is 4096 tokens. However, you requested {total} tokens (20 in the messages, "
    "{limit} in the completion). Please reduce the length of the messages or completion."
)
VLLM = (
    "'max_tokens' or 'max_completion_tokens' is too large: {limit}. This model's maximum context length is 4096 tokens "
    "and your request has 20 input tokens ({limit} > 4096 - 20)."
)
OPENAI = (
    "This model's maximum context length is 4096 tokens, however you requested {total} tokens (20 in your prompt; "
    "{limit} for the completion). Please reduce your prompt; or completion length."
)
TGI = (
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 20 `inputs` tokens and {limit} "
    "`max_new_tokens`"
)
SGLANG = (
    "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of {total} "
    "tokens: 20 tokens from the input messages and {limit} tokens for the completion."
)


def tried(refusal: Callable[[int], str | None]) -> list[int]:
    """The limits that are tried, the last of which is accepted."""
    room, limits = Room(), []
    for limit in room.limits():
        limits.append(limit)
        text = refusal(limit)
        if text is None:
            return limits
        assert room.note(RefusedError(text, status=400))
    return [*limits, -1]


@pytest.mark.parametrize("wording", [OLD_VLLM, VLLM, OPENAI, TGI, SGLANG])
def test_the_second_limit_is_the_room_that_a_refusal_names(wording: str) -> None:
    def refusal(limit: int) -> str | None:
        return wording.format(limit=limit, total=limit + PROMPT) if limit + PROMPT > CONTEXT else None

    assert tried(refusal)[1:] == [CONTEXT - PROMPT]


def test_without_numbers_the_limit_is_halved() -> None:
    assert tried(lambda limit: "the context length is exceeded" if limit > 5000 else None)[-1] == 4096
    assert (
        tried(lambda limit: "max_tokens is too large: at most 4096 completion tokens" if limit > 4096 else None)[-1]
        == 4096
    )


def test_a_prompt_that_does_not_fit_is_not_tried_for_ever() -> None:
    whole = "This model's maximum context length is 4096 tokens and your request has 5000 input tokens"
    assert len(tried(lambda _: whole)) == 2
    assert 2 < len(tried(lambda _: "the prompt is too long")) < 20


def test_another_refusal_is_not_one_of_length() -> None:
    assert not Room().note(RefusedError("the model does not accept images", status=400))
    assert not is_too_long(RefusedError("temperature must be between 0 and 1", status=400))
    assert is_too_long(RefusedError("request entity", status=413))


def test_an_endpoint_that_wants_a_limit() -> None:
    assert requires_limit(RefusedError("max_tokens: Field required", status=400))
    assert requires_limit(RefusedError("missing required field max_tokens", status=422))
    assert not requires_limit(RefusedError("messages: Field required", status=400))
