"""Read what an endpoint answers. Everything in an answer is checked, and only EngineError is raised, for that answer.

Sources: OpenAI's API reference ("The chat completion object", "The completion object"); the extensions of vLLM,
DeepSeek and OpenRouter for reasoning (`reasoning_content`, `reasoning`); Mistral's content chunks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from benchcoe_jobs.characters import one_line
from benchcoe_jobs.domain import LENGTH
from benchcoe_jobs.engines.errors import EngineError, RefusedError
from benchcoe_jobs.masking import masked

# OpenAI and vLLM; Anthropic; Mistral; Gemini.
_TRUNCATED = frozenset({"length", "max_tokens", "model_length", "max_output_tokens", "max_completion_tokens"})
_FILTERED = frozenset({"content_filter", "safety", "prohibited_content", "blocklist"})

_MOST_TOKENS = 2**31 - 1
"""Of a column of 32 bits."""

_TEXT_PARTS = ("text", "output_text", "refusal")  # tuples, because the type of a part may be a list
_TEXT_FIELDS = {"text", "refusal"}
_THOUGHT_PARTS = ("thinking", "reasoning", "reasoning_content")

_DATED = re.compile(r"[-@](?:20\d\d-?\d\d-?\d\d|\d{4})\Z")
_NEWEST = re.compile(r"[-:@]latest\Z")


@dataclass(frozen=True, slots=True)
class Answer:
    """A generated text, and the thoughts that came apart from it. Token counts are None if the endpoint gave none."""

    text: str
    thoughts: str | None
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None


def read_answer(answer: Mapping[str, Any]) -> Answer:
    """A completion in either form. Raises EngineError if it holds no text, RefusedError if a filter withheld it."""
    choice = _choice(answer)
    message = choice["message"] if isinstance(choice.get("message"), Mapping) else choice
    reason = choice.get("finish_reason")
    reason = reason.lower() if isinstance(reason, str) else ""
    if reason in _FILTERED:
        raise RefusedError("the endpoint's content filter withheld the answer")
    if reason == "error":
        raise EngineError("the endpoint ended the answer with an error")
    truncated = reason in _TRUNCATED
    text, thoughts = _text_of(message)
    if not text and isinstance(message.get("refusal"), str):
        text = message["refusal"]  # what the model says in place of an answer
    if not text and (message.get("tool_calls") or message.get("function_call")):
        raise EngineError("the endpoint answers with a call of a tool, and without a text")
    if not text and thoughts and not truncated:
        raise EngineError("the answer has thoughts of the model and no text")
    usage = answer.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    return Answer(
        text=text,
        thoughts=thoughts or None,
        finish_reason=LENGTH if truncated else "stop",
        prompt_tokens=count(usage.get("prompt_tokens")),
        completion_tokens=count(usage.get("completion_tokens")),
    )


def read_echo(answer: Mapping[str, Any], prompt: str, n_requested: int) -> tuple[float, ...]:
    """The log-probability of each token of an echoed prompt. Raises EngineError if it is none.

    Nothing precedes the first token: its log-probability is unknown, and taken as 0. Behind the prompt stand up to
    `n_requested` generated tokens.

    The generated tokens are left out by their number, not by their offsets: a token of control such as `<s>` has a text
    in the echo and none in the prompt, and tokens that split a character have the text of U+FFFD, so that offsets and
    lengths of texts say nothing.
    """
    choice = _choice(answer)
    logprobs = choice.get("logprobs")
    logprobs = logprobs if isinstance(logprobs, Mapping) else {}
    tokens, values = logprobs.get("tokens"), logprobs.get("token_logprobs")
    if not isinstance(tokens, list) or not isinstance(values, list) or len(tokens) != len(values):
        raise EngineError("the endpoint gives no log-likelihoods: it does not support echo with logprobs")
    usage = answer.get("usage")
    n_generated = count(usage.get("completion_tokens")) if isinstance(usage, Mapping) else None
    n_prompt = len(tokens) - (n_requested if n_generated is None else n_generated)
    text = choice.get("text")
    if n_prompt < 1 or (isinstance(text, str) and text and _visible(prompt) not in _visible(text)):
        raise EngineError("the endpoint gives no log-likelihoods: it does not echo the prompt")
    return (0.0, *map(_logprob, values[1:n_prompt]))


def count(value: Any) -> int | None:
    """A number of tokens, rounded; None for anything that is no such number."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST_TOKENS:
        return None
    return round(value)


def require_model(answer: Mapping[str, Any], requested: str, accepted: Sequence[str]) -> None:
    """Raise EngineError if another model answered than the one that was asked, unless its name is accepted.

    A name may differ in its provider, in capital letters, and in a date or `latest` at its end. An answer without a
    name is accepted.
    """
    name = answer.get("model")
    if not isinstance(name, str) or not name or _is_name_of(name, requested):
        return
    if not any(fnmatchcase(name, pattern) for pattern in accepted):
        raise EngineError(
            f"the endpoint answered as model {one_line(masked(name))[:200]}, not as {requested}: "
            "`benchcoe-jobs add-expert --accept-model NAME` accepts that"
        )


def _is_name_of(name: str, requested: str) -> bool:
    short, wanted = (_NEWEST.sub("", one.lower().rpartition("/")[2]) for one in (name, requested))
    return wanted in {short, _DATED.sub("", short)}


def _choice(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The choice with index 0; without indices, the first."""
    choices = answer.get("choices")
    usable = [one for one in choices if isinstance(one, Mapping)] if isinstance(choices, list) else []
    if not usable:
        raise EngineError("the answer of the endpoint has no choices")
    return next((one for one in usable if one.get("index") == 0), usable[0])


def _text_of(message: Mapping[str, Any]) -> tuple[str, str]:
    """The text and the thoughts of a message. Raises EngineError if its content is no text."""
    content = message.get("content", message.get("text"))
    texts, thoughts = [], [_flat(message.get(key)) for key in ("reasoning_content", "reasoning")]
    thoughts = [next(filter(None, thoughts), "")]  # gateways send the same thoughts under both names
    for part in content if isinstance(content, list) else [content]:
        if part is None:
            continue
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping) and part.get("type", "text") in _TEXT_PARTS and _TEXT_FIELDS & part.keys():
            texts.append(_flat(part.get("text", part.get("refusal"))))
        elif isinstance(part, Mapping) and part.get("type") in _THOUGHT_PARTS:
            thoughts.append(_flat(part.get(str(part["type"]), part.get("text"))))
        else:
            raise EngineError("the content of the answer is neither a text nor parts of text")
    return "".join(texts), "".join(thoughts)


def _flat(value: Any) -> str:
    """A text, or the joined texts of a list of parts; an empty text for anything else."""
    if isinstance(value, str):
        return value
    parts = value if isinstance(value, list) else []
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in parts]
    return "".join(text for text in texts if isinstance(text, str))


def _logprob(value: Any) -> float:
    # The upper limit leaves room for rounding; infinities and NaN are outside of both limits.
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e9 <= value <= 1e-6:
        raise EngineError("the endpoint gives no log-likelihoods: a token of the prompt has none")
    return float(value)


def _visible(text: str) -> str:
    """A text without what tokenizers change: white space, and characters with the same meaning."""
    return "".join(unicodedata.normalize("NFKC", text).split())
