"""The engine `openai`: any endpoint with OpenAI's API of chat completions or completions.

It has no tokenizer: the endpoint counts tokens, and its refusals show which few-shot examples do not fit. The seed is
passed on; whether sampling is reproducible depends on the endpoint.
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

# The wordings of OpenAI, vLLM, TGI, llama.cpp, SGLang and LiteLLM, in this order.
_TOO_LONG = re.compile(
    r"context_length_exceeded|maximum context length|context (length|size|window)|too long|longer than the maximum"
    r"|input.{0,40}exceed|must be <=",
    re.IGNORECASE,
)

_NEW_LIMIT_NAME = "max_completion_tokens"

# Loading only tests whether the endpoint answers, so it does not use the deadline of a request.
_PROBE_DEADLINE_S = 20.0


class OpenAIEngine:
    """One model behind one endpoint."""

    traits = EngineTraits(needs_gpu=False)

    def __init__(self) -> None:
        self._endpoint: Endpoint | None = None
        self._runner = asyncio.Runner()  # creates its loop and its file descriptors at the first use

    def load(self, settings: ExpertSettings) -> None:
        """See `Engine.load`. Requests the list of models, if the endpoint has one, and looks for the model in it."""
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
        self._runner.run(self._require_model(probe))
        self._endpoint = Endpoint(settings)

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        """See `Engine.run`. At most `batch_size` requests are open at the same time.

        Raises AccessDeniedError, ModelNotFoundError, and EndpointDownError if no request was answered: an outage must
        not be stored as errors of queries.
        """
        started = time.perf_counter()
        outcomes = self._runner.run(self._complete_all(requests, decoding))
        latency_s = time.perf_counter() - started
        for outcome in outcomes:
            if isinstance(outcome, AccessDeniedError | ModelNotFoundError):
                raise outcome
        down = [outcome for outcome in outcomes if isinstance(outcome, EndpointDownError)]
        if down and len(down) == len(outcomes):
            raise down[0]
        return [
            replace(failure(outcome) if isinstance(outcome, EngineError) else outcome, latency_s=latency_s)
            for outcome in outcomes
        ]

    def version(self) -> dict[str, str]:
        """See `Engine.version`. The version of the model behind the endpoint is not known."""
        return {"engine": "openai", "model": self._settings.model, "base_url": str(self._settings.base_url)}

    def close(self) -> None:
        """See `Engine.close`."""
        if self._endpoint is not None:
            self._runner.run(self._endpoint.close())
            self._endpoint = None
        self._runner.close()

    async def _require_model(self, probe: Endpoint) -> None:
        try:
            listed = (await probe.request("models")).get("data")
        except ModelNotFoundError:  # some endpoints have no list
            return
        finally:
            await probe.close()
        names = [str(one.get("id")) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        if names and self._settings.model not in names:
            known = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
            raise ModelNotFoundError(f"the endpoint has no model {self._settings.model}; it has {known}")

    async def _complete_all(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion | EngineError]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._complete(request, decoding)) for request in requests]
        return [task.result() for task in tasks]

    async def _complete(self, request: Request, decoding: Decoding) -> Completion | EngineError:
        """The completion of a request with as many few-shot examples as the endpoint accepts, or why there is none."""
        complete = self._loglikelihoods if request.continuations else self._generate
        # Log-likelihoods do not depend on the limit of new tokens.
        for narrowed in [decoding] if request.continuations else shortened(decoding):
            for n_shots in range(len(request.shots), -1, -1):
                try:
                    return await complete(request, n_shots, narrowed)
                except RefusedError as error:
                    if not _TOO_LONG.search(str(error)):
                        return error
                    refusal = error
                except EngineError as error:
                    return error
        return ContextTooLongError(f"context too long, even without few-shot examples: {refusal}")

    async def _generate(self, request: Request, n_shots: int, decoding: Decoding) -> Completion:
        """A generated answer. Requests with images always use the chat form."""
        prompt = clean(request.prompt(n_shots))
        body: dict[str, Any] = {"model": self._settings.model, "temperature": decoding.temperature}
        if decoding.stop:
            body["stop"] = list(decoding.stop)
        if decoding.temperature > 0:  # greedy answers need none, and some endpoints refuse it
            body["seed"] = decoding.seed
        chat = decoding.chat or bool(request.images)
        if chat:
            body["messages"] = [*chat_history(request), {"role": "user", "content": _content(prompt, request.images)}]
        else:
            body["prompt"] = prompt
        answer = await self._request("chat/completions" if chat else "completions", body, decoding.max_new_tokens)
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

    async def _request(self, path: str, body: dict[str, Any], max_new_tokens: int) -> dict[str, Any]:
        """Request at most `max_new_tokens`. OpenAI's newer models refuse the old name of the limit."""
        assert self._endpoint is not None  # noqa: S101  (the expert is loaded)
        try:
            return await self._endpoint.request(path, body | {self._limit_name: max_new_tokens})
        except RefusedError as error:
            if self._limit_name == _NEW_LIMIT_NAME or _NEW_LIMIT_NAME not in str(error):
                raise
            self._limit_name = _NEW_LIMIT_NAME
            return await self._endpoint.request(path, body | {self._limit_name: max_new_tokens})

    async def _loglikelihoods(self, request: Request, n_shots: int, decoding: Decoding) -> Completion:
        """The log-likelihoods of continuations, from the log-probabilities of echoed prompts.

        The scored tokens are those of `Prompter.pairs`; the echo of the prompt alone gives its number of tokens.
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
        """The log-probability of each token of a text; that of the first is unknown, and taken as 0."""
        body = {"model": self._settings.model, "prompt": text, "temperature": 0.0, "echo": True, "logprobs": 1}
        # One new token, which is ignored: some endpoints refuse to generate none.
        logprobs = _choice(await self._request("completions", body, 1)).get("logprobs") or {}
        tokens, values = logprobs.get("tokens") or [], logprobs.get("token_logprobs") or []
        offsets = logprobs.get("text_offset") or list(accumulate(map(len, tokens), initial=0))[:-1]
        if len(tokens) < 2 or not len(tokens) == len(values) == len(offsets):
            raise EngineError("the endpoint gives no log-likelihoods: it does not support echo with logprobs")
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
    raise EngineError("the answer of the endpoint has no choices")
