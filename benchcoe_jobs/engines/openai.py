"""The engine `openai`: any endpoint that speaks OpenAI's chat or plain completions.

There is no tokenizer here: the endpoint counts tokens, and the examples that do not fit are found by
its refusals. Sampling is as repeatable as the endpoint makes it; the seed is passed on.
"""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from benchcoe_jobs.domain import Completion, Decoding, Request
from benchcoe_jobs.engines.base import EngineTraits, ExpertSettings
from benchcoe_jobs.engines.errors import (
    AccessDeniedError,
    ContextTooLongError,
    EndpointDownError,
    EngineError,
    ModelNotFoundError,
    RefusedError,
)
from benchcoe_jobs.engines.images import media_type
from benchcoe_jobs.engines.prompts import chat_history, clean, cut_at_stop, failure, shortened
from benchcoe_jobs.errors import MissingError

if TYPE_CHECKING:
    from benchcoe_jobs.engines.endpoint import Endpoint

# OpenAI, vLLM, TGI, llama.cpp, SGLang and LiteLLM, in this order of wording.
_TOO_LONG = re.compile(
    r"context_length_exceeded|maximum context length|context (length|size|window)|too long|longer than the maximum"
    r"|input.{0,40}exceed|must be <=",
    re.IGNORECASE,
)

_NEW_LIMIT_NAME = "max_completion_tokens"

# The load asks no model, only whether somebody is there: minutes of patience would be wasted on it.
_PROBE_DEADLINE_S = 20.0


class OpenAIEngine:
    """One model behind one endpoint."""

    traits = EngineTraits(needs_gpu=False)

    def __init__(self) -> None:
        self._endpoint: Endpoint | None = None
        self._runner = asyncio.Runner()  # makes its loop, and with it descriptors, when first used

    def load(self, settings: ExpertSettings) -> None:
        """See `Engine.load`: asks the endpoint for its models, where it has a list of them."""
        settings.require_default("revision", "dtype", "max_model_len", "trust_remote_code", "tensor_parallel")
        try:
            from benchcoe_jobs.engines.endpoint import Endpoint
        except ImportError as error:
            raise MissingError(
                f"engine openai needs more packages ({error}): pip install 'benchcoe-jobs[engines]'"
            ) from error
        self._settings = settings
        self._limit_name = "max_tokens"
        probe = Endpoint(replace(settings, deadline_s=min(settings.deadline_s, _PROBE_DEADLINE_S)))
        self._runner.run(self._check(probe))
        self._endpoint = Endpoint(settings)

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        """See `Engine.run`; at most `batch_size` requests are in flight at once.

        Raises AccessDeniedError and ModelNotFoundError, and EndpointDownError where not one request
        got through: an outage must not be recorded as answers.
        """
        started = time.perf_counter()
        outcomes = self._runner.run(self._all(requests, decoding))
        took = time.perf_counter() - started
        for outcome in outcomes:
            if isinstance(outcome, AccessDeniedError | ModelNotFoundError):
                raise outcome
        down = [outcome for outcome in outcomes if isinstance(outcome, EndpointDownError)]
        if down and len(down) == len(outcomes):
            raise down[0]
        return [
            replace(failure(outcome) if isinstance(outcome, EngineError) else outcome, latency_s=took)
            for outcome in outcomes
        ]

    def version(self) -> dict[str, str]:
        """See `Engine.version`. What runs behind the endpoint, only the endpoint knows."""
        return {"engine": "openai", "model": self._settings.model, "base_url": str(self._settings.base_url)}

    def close(self) -> None:
        """See `Engine.close`."""
        if self._endpoint is not None:
            self._runner.run(self._endpoint.close())
            self._endpoint = None
        self._runner.close()

    async def _check(self, probe: Endpoint) -> None:
        try:
            listed = (await probe.ask("models")).get("data")
        except ModelNotFoundError:  # not every endpoint has a list
            return
        finally:
            await probe.close()
        names = [str(one.get("id")) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        if names and self._settings.model not in names:
            shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
            raise ModelNotFoundError(f"the endpoint has no model {self._settings.model}; it has {shown}")

    async def _all(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion | EngineError]:
        async with asyncio.TaskGroup() as group:
            pending = [group.create_task(self._one(request, decoding)) for request in requests]
        return [one.result() for one in pending]

    async def _one(self, request: Request, decoding: Decoding) -> Completion | EngineError:
        ask = self._score if request.continuations else self._write
        # Scores do not depend on how long an answer may become.
        for narrowed in [decoding] if request.continuations else shortened(decoding):
            for n_shots in range(len(request.shots), -1, -1):
                try:
                    return await ask(request, n_shots, narrowed)
                except RefusedError as error:
                    if not _TOO_LONG.search(str(error)):
                        return error
                    refusal = error
                except EngineError as error:
                    return error
        return ContextTooLongError(f"context too long, even without few-shot examples: {refusal}")

    async def _write(self, request: Request, n_shots: int, decoding: Decoding) -> Completion:
        """An answer. Images need the chat form, whatever the decoding says."""
        prompt = clean(request.prompt(n_shots))
        body: dict[str, Any] = {"model": self._settings.model, "temperature": decoding.temperature}
        if decoding.stop:
            body["stop"] = list(decoding.stop)
        if decoding.temperature > 0:  # some endpoints know no seed, and greedy answers need none
            body["seed"] = decoding.seed
        chat = decoding.chat or bool(request.images)
        if chat:
            body["messages"] = [*chat_history(request), {"role": "user", "content": _content(prompt, request.images)}]
        else:
            body["prompt"] = prompt
        answer = await self._ask("chat/completions" if chat else "completions", body, decoding.max_new_tokens)
        choice = _choice(answer)
        message = choice.get("message") if chat else choice
        text = message.get("content" if chat else "text") if isinstance(message, dict) else None
        reason = choice.get("finish_reason")
        if reason == "content_filter":
            raise RefusedError("the endpoint's content filter withheld the answer")
        usage = answer.get("usage") or {}
        return Completion(
            text=cut_at_stop(str(text or ""), decoding.stop),
            finish_reason="length" if reason == "length" else "stop",
            prompt_tokens=usage.get("prompt_tokens"),
            completion_tokens=usage.get("completion_tokens"),
            shots_used=n_shots,
        )

    async def _ask(self, path: str, body: dict[str, Any], max_new_tokens: int) -> dict[str, Any]:
        """Ask with a limit. OpenAI's newer models know it by another name only, and say so."""
        assert self._endpoint is not None  # noqa: S101  (the expert is loaded)
        try:
            return await self._endpoint.ask(path, body | {self._limit_name: max_new_tokens})
        except RefusedError as error:
            if self._limit_name == _NEW_LIMIT_NAME or _NEW_LIMIT_NAME not in str(error):
                raise
            self._limit_name = _NEW_LIMIT_NAME
            return await self._endpoint.ask(path, body | {self._limit_name: max_new_tokens})

    async def _score(self, request: Request, n_shots: int, decoding: Decoding) -> Completion:
        """How likely continuations are, from the log-probabilities of echoed prompts.

        Tokens are those of `Prompter.pairs`: how many the prompt has by itself, its own echo tells.
        """
        if decoding.chat or request.images:
            raise EngineError("engine openai scores continuations of plain text only, neither chat nor images")
        prompt = clean(request.prompt(n_shots))
        if not prompt.strip():
            raise EngineError("engine openai scores no continuations of an empty prompt")
        n_prompt = len(await self._echo(prompt.rstrip()))
        scored = [(await self._echo(prompt + clean(one)))[n_prompt:] for one in request.continuations]
        if not all(scored):
            raise EngineError("a continuation adds no token to the prompt")
        return Completion(
            prompt_tokens=n_prompt,
            completion_tokens=sum(map(len, scored)),
            shots_used=n_shots,
            loglikelihoods=tuple(map(sum, scored)),
        )

    async def _echo(self, text: str) -> list[float]:
        """Log-probability of every token of a text; the first has none, and counts as 0."""
        body = {"model": self._settings.model, "prompt": text, "temperature": 0.0, "echo": True, "logprobs": 1}
        # One new token, which is left out again: some endpoints refuse to generate none.
        logprobs = _choice(await self._ask("completions", body, 1)).get("logprobs") or {}
        tokens, values = logprobs.get("tokens") or [], logprobs.get("token_logprobs") or []
        offsets = logprobs.get("text_offset") or list(accumulate(map(len, tokens), initial=0))[:-1]
        if len(tokens) < 2 or not len(tokens) == len(values) == len(offsets):
            raise EngineError("the endpoint offers no log-likelihoods: it does not support echo with logprobs")
        return [float(value or 0.0) for value, offset in zip(values, offsets, strict=True) if offset < len(text)]


def _content(prompt: str, images: Sequence[bytes]) -> str | list[dict[str, Any]]:
    if not images:
        return prompt
    urls = [f"data:{media_type(image)};base64,{base64.b64encode(image).decode()}" for image in images]
    return [*({"type": "image_url", "image_url": {"url": url}} for url in urls), {"type": "text", "text": prompt}]


def _choice(answer: dict[str, Any]) -> dict[str, Any]:
    match answer.get("choices"):
        case [dict(choice), *_]:
            return choice
    raise EngineError("the endpoint's answer holds no choice")
