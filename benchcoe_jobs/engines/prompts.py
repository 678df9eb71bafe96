"""Requests to token ids, and token ids to text; shared by all engines with a tokenizer."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

from benchcoe_jobs.domain import LENGTH, Completion, Decoding, Request
from benchcoe_jobs.engines.errors import ContextTooLongError, EngineError, engine_error
from benchcoe_jobs.engines.messages import clean, template_messages
from benchcoe_jobs.engines.reasoning import final_answer, is_tag, opens_thoughts
from benchcoe_jobs.masking import first_line

Unprepared = TypeVar("Unprepared")
Prepared = TypeVar("Prepared")

# The number of prompt tokens that are decoded together with an answer: sentencepiece drops the space at the beginning
# of a text, so an answer that is decoded alone would lose it.
_LEAD = 6

# How often the limit of an answer may be halved for a small context. Shorter answers would not be comparable.
_HALVINGS = 3

# An answer without a limit gets the room beside its prompt, in steps of this part of the context: prompts of similar
# lengths can then share a batch. Few-shot examples leave it an eighth.
_STEPS, _LEAST_ROOM = 64, 8

# The limit of an answer without a limit, from a model whose context has none.
_LONGEST = 1 << 15


@dataclass(frozen=True, slots=True)
class Prompt:
    """The n >= 1 token ids of a request, and the number of few-shot examples in them.

    `max_new_tokens` is the limit of the answer in tokens, 0 if none is generated; `seed` is that of sampling.
    """

    ids: tuple[int, ...]
    shots_used: int
    max_new_tokens: int = 0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Pair:
    """The token ids of a prompt and a continuation; the last `n_scored` are scored."""

    ids: tuple[int, ...]
    n_scored: int


class Prompter:
    """Builds the prompts of one expert. `context` is its limit in tokens, None if it has none."""

    def __init__(self, tokenizer: Any, context: int | None) -> None:
        self._tokenizer = tokenizer
        self._context = context

    def prompts(
        self, requests: Mapping[int, Request], decoding: Decoding
    ) -> tuple[dict[int, Prompt], dict[int, Completion]]:
        """The prompts with as many few-shot examples as fit beside max_new_tokens; examples are dropped from the end.

        If the question alone does not fit, the limit of the answer is halved, see `shortened`; without a limit, `room`
        is what the answer gets. Requests without a prompt get an error completion: of ContextTooLongError if
        nothing fits, of EngineError if the model has no chat template or an empty prompt has no token to begin with.
        """
        texts, failures = prepare(requests, lambda request: self._text(request, len(request.shots), decoding))
        try:
            # All in one call: for short prompts, the overhead of a call exceeds the tokenising.
            rows = self._encode_all(list(texts.values()), chat=decoding.chat)
            encoded = dict(zip(texts, rows, strict=True))
        except Exception:  # about one of the texts
            encoded, refused = prepare(texts, lambda text: self._encode(text, chat=decoding.chat))
            failures |= refused
        whole = {index: (requests[index], ids) for index, ids in encoded.items()}
        prompts, too_long = prepare(whole, lambda one: self._fit(*one, decoding))
        return prompts, failures | too_long

    def _fit(self, request: Request, ids: list[int], decoding: Decoding) -> Prompt:
        """The prompt of a request whose text with all examples is `ids`. Raises EngineError, ContextTooLongError."""
        encoded = {len(request.shots): ids or self._beginning()}
        for narrowed in shortened(decoding):
            for n_shots in range(len(request.shots), -1, -1):
                if n_shots not in encoded:
                    text = self._text(request, n_shots, decoding)
                    encoded[n_shots] = self._encode(text, chat=decoding.chat) or self._beginning()
                n_new = self.room(len(encoded[n_shots]), n_shots, narrowed.max_new_tokens)
                if n_new is not None:
                    seed = request_seed(request, decoding, encoded[n_shots])
                    return Prompt(tuple(encoded[n_shots]), n_shots, n_new, seed)
        raise self._too_long(len(encoded[0]), f"{narrowed.max_new_tokens or 1} new")

    def pairs(self, request: Request, decoding: Decoding) -> tuple[list[Pair], Prompt]:
        """One pair per continuation, all with as many few-shot examples as fit with the longest of them.

        Tokens are those of lm-evaluation-harness: white space at the end of the prompt moves to the continuation;
        prompt and continuation are tokenised as one text; the scored tokens are those after the number of tokens that
        the prompt has alone. An empty prompt becomes the token that texts begin with. Raises EngineError as `prompts`
        does, and for images or a continuation without a token.
        """
        if request.image_files:
            raise EngineError("continuations after images are not scored")
        for n_shots in range(len(request.shots), -1, -1):
            prompt = self._text(request, n_shots, decoding)
            ids, pairs = self._pairs(prompt, request.continuations, chat=decoding.chat)
            # One more token than the pair, in all engines: vLLM always generates one.
            if self.fits(max(len(pair.ids) for pair in pairs) + 1):
                return pairs, Prompt(tuple(ids), n_shots)
        raise self._too_long(max(len(pair.ids) for pair in pairs), "1 new")

    def room(self, n_prompt: int, n_shots: int, limit: int | None) -> int | None:
        """The limit of new tokens beside a prompt of `n_prompt` tokens, None if they do not fit.

        Without a `limit` it is the room that the context has, rounded down to a 64th of the context.
        """
        if limit is not None:
            return limit if self.fits(n_prompt + limit) else None
        if self._context is None:
            return _LONGEST
        left = self._context - n_prompt
        if left < (self._context // _LEAST_ROOM if n_shots else 1):
            return None
        step = max(self._context // _STEPS, 1)
        return left - left % step if left > step else left

    def fits(self, n_tokens: int) -> bool:
        """Whether `n_tokens` tokens fit into the context."""
        return self._context is None or n_tokens <= self._context

    def opens_thoughts(self, decoding: Decoding) -> bool:
        """Whether answers begin within thoughts, because the chat template ends with their first tag."""
        return decoding.chat and self._template_opens_thoughts

    @cached_property
    def _template_opens_thoughts(self) -> bool:
        try:
            return opens_thoughts(self._text(Request("Hello"), 0, Decoding(chat=True)))
        except EngineError:
            return False

    @cached_property
    def _thought_tags(self) -> dict[int, str]:
        """The tags of thoughts that are special tokens, by id: decoding would leave them out."""
        added = self._tokenizer.get_added_vocab() if hasattr(self._tokenizer, "get_added_vocab") else {}
        special = set(getattr(self._tokenizer, "all_special_ids", ()))
        return {id_: text for text, id_ in added.items() if id_ in special and is_tag(text)}

    def has_thought_tags(self, new: Sequence[int]) -> bool:
        """Whether new tokens contain tags of thoughts that other decoders leave out."""
        return bool(self._thought_tags) and not self._thought_tags.keys().isdisjoint(new)

    def answer(self, prompt: Sequence[int], new: Sequence[int]) -> str:
        """The text of the new tokens after a prompt, with its leading white space and the tags of thoughts."""
        text, since = "", 0
        if self.has_thought_tags(new):
            for place, id_ in enumerate(new):
                if id_ in self._thought_tags:
                    text += self._continued(prompt, new[since:place]) + self._thought_tags[id_]
                    since = place + 1
        return text + self._continued(prompt, new[since:])

    def _continued(self, prompt: Sequence[int], new: Sequence[int]) -> str:
        lead = list(prompt[-_LEAD:])
        before, both = self._decode(lead), self._decode([*lead, *new])
        return both[len(before) :] if both.startswith(before) else self._decode(list(new))

    def _pairs(self, prompt: str, continuations: Sequence[str], *, chat: bool) -> tuple[list[int], list[Pair]]:
        stripped = prompt.rstrip()
        space = prompt[len(stripped) :]
        ids = self._encode(stripped, chat=chat)
        pairs = []
        for continuation in continuations:
            if ids:
                whole = self._encode(stripped + space + clean(continuation), chat=chat)
                n_scored = len(whole) - len(ids)
            else:
                # Without a prompt, the special tokens that texts begin with are left out as well.
                scored = self._tokenizer(space + clean(continuation), add_special_tokens=False)["input_ids"]
                whole, n_scored = [*self._beginning(), *scored], len(scored)
            if n_scored < 1:
                raise EngineError(f"continuation {continuation[:50]!r} adds no token to the prompt")
            pairs.append(Pair(tuple(whole), n_scored))
        return ids or self._beginning(), pairs

    def _text(self, request: Request, n_shots: int, decoding: Decoding) -> str:
        if not decoding.chat:
            if request.messages:
                raise EngineError("a conversation needs the chat form")
            return clean(request.prompt(n_shots))
        if not getattr(self._tokenizer, "chat_template", None):
            raise EngineError("the model has no chat template: ask it without chat")
        messages = template_messages(request, n_shots)
        try:
            return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        except Exception as error:  # a template may refuse a role or an order of roles
            raise EngineError(f"the model's chat template refuses the conversation: {first_line(error)}") from error

    def _encode(self, text: str, *, chat: bool) -> list[int]:
        [ids] = self._encode_all([text], chat=chat)
        return ids

    def _encode_all(self, texts: Sequence[str], *, chat: bool) -> list[list[int]]:
        # A chat template includes the special tokens. An empty text has no token, even if the tokenizer would add a
        # special one.
        filled = [text for text in texts if text]
        ids = iter(self._tokenizer(filled, add_special_tokens=not chat)["input_ids"] if filled else [])
        return [next(ids) if text else [] for text in texts]

    def _beginning(self) -> list[int]:
        for token in (self._tokenizer.bos_token_id, self._tokenizer.eos_token_id):
            if token is not None:
                return [int(token)]
        raise EngineError("the prompt is empty, and the model has no token that texts begin with")

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _too_long(self, n_tokens: int, beside: str) -> ContextTooLongError:
        return ContextTooLongError(
            f"context too long: {n_tokens} prompt tokens and {beside} do not fit into {self._context}, "
            "even without few-shot examples"
        )


def prepare(
    unprepared: Mapping[int, Unprepared], function: Callable[[Unprepared], Prepared]
) -> tuple[dict[int, Prepared], dict[int, Completion]]:
    """Apply a function to each value; the results, and error completions for those that raised an exception.

    What cannot be prepared is a fault of its request, whatever the exception: a library may raise any for an odd one.
    """
    results: dict[int, Prepared] = {}
    failures: dict[int, Completion] = {}
    for index, one in unprepared.items():
        try:
            results[index] = function(one)
        except Exception as error:
            failures[index] = failure(engine_error(error))
    return results, failures


def shortened(decoding: Decoding) -> Iterator[Decoding]:
    """The decoding, then with a half, a quarter and an eighth of its new tokens, if it has a limit of at least that.

    A context of 2,048 tokens has no room for a prompt beside 2,048 new tokens. Which limit an answer gets follows
    from its prompt, the context and the decoding, which are all in a run's fingerprint. The limit is halved instead
    of set to the space that is left, so that prompts of different lengths can share a batch.
    """
    if decoding.max_new_tokens is None:
        yield decoding
        return
    for halvings in range(_HALVINGS + 1):
        n_new = decoding.max_new_tokens >> halvings
        if n_new or not halvings:
            yield replace(decoding, max_new_tokens=n_new)


def request_seed(request: Request, decoding: Decoding, ids: Sequence[int]) -> int:
    """The seed (63 bits) of one sampled answer. It depends on the prompt, not on the rest of the batch.

    Without a seed of the decoding or of the request it is a new one each time.
    """
    given = request.seed if decoding.seed is None else decoding.seed
    if given is None:
        return secrets.randbits(63)
    content = f"{given}:{','.join(map(str, ids))}"
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:8]) >> 1


def failure(error: Exception) -> Completion:
    """The completion of a request that cannot be answered."""
    return Completion(finish_reason="error", error=str(error))


def completed(
    text: str,
    prompt_tokens: int,
    new_tokens: int,
    shots_used: int,
    stopped: bool,
    decoding: Decoding,
    *,
    keeps_reasoning: bool,
    begun: bool,
) -> Completion:
    """The completion of an answer whose text may still contain thoughts, and the stop string that ended it.

    `begun`: it begins within thoughts. An incomplete character at its end is dropped, as in vLLM.
    """
    answer = final_answer(text.rstrip("\ufffd"), decoding.stop, keeps_reasoning=keeps_reasoning, begun=begun)
    return Completion(
        text=answer,
        finish_reason="stop" if stopped else LENGTH,
        prompt_tokens=prompt_tokens,
        completion_tokens=new_tokens,
        shots_used=shots_used,
    )
