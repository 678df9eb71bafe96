"""What an encoder reads of a question that is longer than its window.

The published code cuts the end of a prompt, where the question and its options stand. Here what
precedes them is cut: a passage, examples, a long introduction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchcoe_jobs.domain import RouterInput

RULE = 1
"""Changes with what is cut, so that no vector of another cut is taken for one of this."""

# Tokenisers read a whole text before it can be cut. No language spends this many characters on a
# token on average, so what is cut before would have been cut after.
_CHARS_PER_TOKEN = 16


def readable(questions: Sequence[RouterInput], tokenizer: Any, limit: int) -> list[str]:
    """Each question in one piece of at most `limit` tokens, special ones counted.

    The options keep at least half of the window, where they need it, and are cut at their end; the text
    keeps the rest and is cut at its start. `tokenizer` is a fast one of transformers.
    """
    room = max(2, limit - tokenizer.num_special_tokens_to_add())
    return [_readable(question, tokenizer, room) for question in questions]


def _readable(question: RouterInput, tokenizer: Any, room: int) -> str:
    if len(question.whole) * 4 <= room:  # four bytes a character at most, and a byte a token at least
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
    """Where each token stands: (first character, one past the last)."""
    read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return list(read["offset_mapping"])


def _clean(text: str) -> str:
    # Tokenisers refuse a lone surrogate, which JSON may well carry.
    return text.encode("utf-8", "replace").decode("utf-8")
