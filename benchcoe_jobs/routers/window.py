"""How a question that is longer than the window of an encoder is cut.

The published code cuts the end of a prompt, which holds the question and its options. Here the text before them is cut:
a passage, examples, a long introduction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchcoe_jobs.domain import RouterInput

RULE = 1
"""The version of this rule. It is part of the key of stored vectors, so that vectors of another rule are not used."""

# A tokeniser reads a whole text before it is cut. Texts are first cut to this many characters per token, which is above
# the average of any language: the characters removed here would be removed afterwards anyway.
_CHARS_PER_TOKEN = 16


def readable(questions: Sequence[RouterInput], tokenizer: Any, limit: int) -> list[str]:
    """Each question as one string of at most `limit` tokens, special tokens included.

    The options get up to half of the window, or more if the text leaves it, and are cut at their end. The text gets
    the rest and is cut at its start. `tokenizer` is a fast tokenizer of transformers.
    """
    room = max(2, limit - tokenizer.num_special_tokens_to_add())
    return [_readable(question, tokenizer, room) for question in questions]


def _readable(question: RouterInput, tokenizer: Any, room: int) -> str:
    if len(question.whole) * 4 <= room:  # a character has at most four bytes, and a token at least one
        return _clean(question.whole)
    text = _clean(question.text[-room * _CHARS_PER_TOKEN :])
    options = _clean("\n".join(question.choices)[: room * _CHARS_PER_TOKEN])
    text_spans, option_spans = _spans(text, tokenizer), _spans(options, tokenizer)
    for_options = min(len(option_spans), max(room // 2, room - len(text_spans)))
    for_text = min(len(text_spans), room - for_options)
    if for_options < len(option_spans):
        options = options[: option_spans[for_options - 1][1]]
    if for_text < len(text_spans):
        text = text[text_spans[-for_text][0] :]
    return "\n".join([text, options]) if question.choices else text


def _spans(text: str, tokenizer: Any) -> list[tuple[int, int]]:
    """The span of each token: (first character, one past the last)."""
    read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return list(read["offset_mapping"])


def _clean(text: str) -> str:
    # Tokenisers refuse a lone surrogate, which JSON may contain.
    return text.encode("utf-8", "replace").decode("utf-8")
