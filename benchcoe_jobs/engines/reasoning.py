"""Separate an answer from the thoughts that a reasoning model writes before it.

A block of thoughts has a tag at each end. The first tag may be missing, because many chat templates end with it. A
block without its last tag was truncated: it holds no answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

# DeepSeek, Qwen and most others; Magistral; Kimi; Seed-OSS; Command A; OpenThinker.
_WORDS = "think|thinking|thoughts?|reasoning|seed:think"
_TAG = re.compile(
    rf"(?P<end></(?:{_WORDS})>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>|<\|end_of_thought\|>)"
    rf"|<(?:{_WORDS})>|\[THINK\]|◁think▷|<\|START_THINKING\|>|<\|begin_of_thought\|>",
    re.IGNORECASE,
)

# gpt-oss: the channel "final" after the channel "analysis", with its tokens of control, or without them.
_FINAL_CHANNEL = re.compile(r"<\|channel\|>final(?: [^<]*)?<\|message\|>|\A\s*analysis.*?assistantfinal", re.DOTALL)
_ANALYSIS_CHANNEL = re.compile(r"\A\s*(?:<\|start\|>assistant)?<\|channel\|>(?:analysis|commentary)")
_END_OF_MESSAGE = re.compile(r"<\|(?:return|end|call)\|>")


class Parts(NamedTuple):
    """`thoughts` is everything up to the end of the last block, with its tags; `answer` is the text without blocks."""

    thoughts: str
    answer: str


def parts(text: str, *, begun: bool = False) -> Parts:
    """Divide a generated text. `begun`: the prompt ended with the first tag of a block."""
    if (final := _FINAL_CHANNEL.search(text)) is not None:
        end = _END_OF_MESSAGE.search(text, final.end())
        return Parts(text[: final.end()], text[final.end() : end.start() if end else None])
    if _ANALYSIS_CHANNEL.match(text):
        return Parts(text, "")
    spoken: list[str] = []
    inside, since = begun, 0
    for tag in _TAG.finditer(text):
        if tag["end"] is not None:
            if not inside:  # what came before was thought: the prompt had the first tag
                spoken.clear()
            inside, since = False, tag.end()
        elif not inside:
            spoken.append(text[since : tag.start()])
            inside = True
    if since == 0 and not inside:
        return Parts("", text)
    if inside:
        return Parts(text, "".join(spoken).strip())
    spoken.append(text[since:])
    return Parts(text[:since], "".join(spoken).lstrip())


def is_tag(token: str) -> bool:
    """Whether a token is a tag of thoughts."""
    return _TAG.fullmatch(token) is not None


def opens_thoughts(prompt: str) -> bool:
    """Whether a prompt ends with the first tag of a block of thoughts, as some chat templates do."""
    *_, last = [None, *_TAG.finditer(prompt[-64:])]
    return last is not None and last["end"] is None and not prompt[-64:][last.end() :].strip()


def final_answer(
    text: str, stop: Sequence[str], *, keeps_reasoning: bool, begun: bool = False, thoughts: str | None = None
) -> str:
    """The answer before its first stop string, with or without the thoughts of the model.

    `thoughts` are those that an endpoint gives apart from the text; kept, they stand before it between tags. Stop
    strings do not count within thoughts.
    """
    divided = parts(text, begun=begun)
    if not keeps_reasoning:
        return cut_at_stop(divided.answer, stop)
    apart = f"<think>\n{thoughts}\n</think>\n\n" if thoughts else ""
    return apart + divided.thoughts + cut_at_stop(text[len(divided.thoughts) :], stop)


def cut_at_stop(text: str, stop: Sequence[str]) -> str:
    """The text before its first stop string."""
    return text[: min((found for string in stop if string and (found := text.find(string)) >= 0), default=None)]
