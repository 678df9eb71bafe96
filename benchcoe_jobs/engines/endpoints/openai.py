"""The engine `openai`: any endpoint with OpenAI's API of chat completions or completions.

It has no tokenizer: the endpoint counts tokens, and its refusals show which few-shot examples do not fit. The seed is
passed on; whether sampling is reproducible depends on the endpoint.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from benchcoe_jobs.characters import one_line
from benchcoe_jobs.domain import Completion, Decoding, Request
from benchcoe_jobs.engines.base import EngineTraits, ExpertSettings
from benchcoe_jobs.engines.context_limits import Room, is_too_long, requires_limit
from benchcoe_jobs.engines.endpoints.answers import read_answer, read_echo, require_model
from benchcoe_jobs.engines.endpoints.faults import EndpointFaults
from benchcoe_jobs.engines.endpoints.parameters import LIMIT, Parameters
from benchcoe_jobs.engines.errors import (
    AnswerTimeoutError,
    ContextTooLongError,
    EndpointDownError,
    EngineError,
    ModelNotFoundError,
    RefusedError,
)
from benchcoe_jobs.engines.messages import clean, endpoint_messages, sent_images
from benchcoe_jobs.engines.prompts import failure, shortened
from benchcoe_jobs.engines.reasoning import final_answer
from benchcoe_jobs.errors import InputError, MissingError, UsageError
from benchcoe_jobs.masking import first_line, masked

if TYPE_CHECKING:
    from benchcoe_jobs.engines.endpoints.endpoint import Endpoint

_CHAT, _PLAIN = "chat/completions", "completions"

_PATHS = {"chat": [_CHAT], "completions": [_PLAIN], "auto": [_PLAIN, _CHAT]}
"""Where plain prompts are sent, by the setting `api`; the first that answers at load is used."""

# Asked at load, and to find out whether a refusal concerns the account or one request. Some endpoints refuse fewer.
_PROBE_TEXT, _PROBE_TOKENS, _PROBE_STOP = "Hello", 16, ["\n\n\n"]
_PROBE_DEADLINE_S = 20.0


class OpenAIEngine:
    """One model behind one endpoint."""

    traits = EngineTraits(needs_gpu=False, sends_messages=True)

    def __init__(self) -> None:
        self._endpoint: Endpoint | None = None
        self._runner = asyncio.Runner()  # creates its loop and its file descriptors at the first use
        self._faults = EndpointFaults()

    def load(self, settings: ExpertSettings) -> None:
        """See `Engine.load`. Asks the model for a few tokens: that shows whether it is there, and what it takes."""
        settings.require_default("revision", "dtype", "max_model_len", "trust_remote_code", "tensor_parallel")
        if settings.api not in _PATHS:
            raise UsageError(f"api must be {', '.join(_PATHS)}, not {settings.api!r}")
        try:
            from benchcoe_jobs.engines.endpoints.endpoint import Endpoint
        except ImportError as error:
            raise MissingError(
                f"engine openai needs more packages ({error}): pip install 'benchcoe-jobs[endpoints]'"
            ) from error
        self._settings = settings
        self._parameters = Parameters(no_temperature=settings.no_temperature)
        self._endpoint = Endpoint(settings)
        self._slots = asyncio.Semaphore(settings.batch_size)
        self._plain_path = self._runner.run(self._find_path())
        self._not_sent = sorted(self._parameters.refused - {LIMIT})

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        """See `Engine.run`. At most `batch_size` requests are open at the same time.

        Raises AccessDeniedError, ModelNotFoundError or EndpointDownError if the account or the endpoint is at fault:
        that must not be stored as errors of queries. `answered` of the error are the completions of the others.
        """
        started = time.perf_counter()
        outcomes, cause = self._runner.run(self._complete_all(requests, decoding))
        latency_s = time.perf_counter() - started
        completions = {
            index: replace(_completion(outcome), latency_s=latency_s)
            for index, outcome in enumerate(outcomes)
            if cause is None or not self._faults.is_doubtful(outcome)
        }
        if cause is not None:
            cause.answered = completions
            raise cause
        return [completions[index] for index in range(len(requests))]

    def version(self) -> dict[str, str]:
        """See `Engine.version`. The version of the model behind the endpoint is not known.

        What is as in every release, and what most models take, is left out, so that stored runs stay valid.
        """
        return (
            {"engine": "openai", "model": self._settings.model, "base_url": str(self._settings.base_url)}
            | ({"api": "chat"} if self._plain_path == _CHAT else {})
            | ({"not_sent": ", ".join(self._not_sent)} if self._not_sent else {})
            | ({"reasoning": "keep"} if self._settings.keeps_reasoning else {})
        )

    def close(self) -> None:
        """See `Engine.close`."""
        if self._endpoint is not None:
            self._runner.run(self._endpoint.close())
            self._endpoint = None
        self._runner.close()

    async def _find_path(self) -> str:
        """Where plain prompts are sent: the first path of the setting at which the model answers.

        If none answers, a path is used that only refuses the probe, or else the first error is raised.
        """
        refusing: list[str] = []
        fault: EngineError | None = None
        for path in _PATHS[self._settings.api]:
            try:
                await self._probe(path)
            except RefusedError:
                refusing.append(path)
            except EngineError as error:
                if isinstance(error, EndpointDownError) or error.status in {401, 402}:
                    raise
                fault = fault or error
            else:
                return path
        if refusing:
            return refusing[0]
        assert fault is not None  # noqa: S101  (a path answers, refuses, or is at fault)
        raise await self._with_models(fault) if fault.status == 404 else fault

    async def _probe(self, path: str) -> None:
        """Ask for a few tokens. Raises as `Endpoint.request` does, and ModelNotFoundError if another model answers.

        Raises EndpointDownError if the answer takes too long.
        """
        content: dict[str, Any] = {"prompt": _PROBE_TEXT, "stop": _PROBE_STOP}
        if path == _CHAT:
            content = {"messages": [{"role": "user", "content": _PROBE_TEXT}]}
        try:
            answer = await self._send(path, content | {"temperature": 0.0, LIMIT: _PROBE_TOKENS}, _PROBE_DEADLINE_S)
        except AnswerTimeoutError as error:
            raise EndpointDownError(str(error)) from None
        if not isinstance(answer.get("choices"), list):
            raise EngineError("the answer of the endpoint has no choices")
        try:
            require_model(answer, self._settings.model, self._settings.accept_model)
        except EngineError as error:
            raise ModelNotFoundError(str(error)) from None

    async def _with_models(self, fault: EngineError) -> EngineError:
        """The fault with the names of the models that the endpoint lists, if it lists any."""
        assert self._endpoint is not None  # noqa: S101  (it was asked)
        try:
            listed = (await self._endpoint.request("models", deadline_s=_PROBE_DEADLINE_S)).get("data")
        except EngineError:  # some endpoints have no list
            return fault
        models = listed if isinstance(listed, list) else []
        names = [one_line(masked(str(one.get("id"))))[:200] for one in models if isinstance(one, dict)]
        if not names:
            return fault
        known = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        return ModelNotFoundError(f"{fault}; the endpoint lists {known}", status=fault.status)

    async def _complete_all(
        self, requests: Sequence[Request], decoding: Decoding
    ) -> tuple[list[Completion | EngineError], EngineError | None]:
        """The outcome of each request, and the fault of the account or the endpoint if there is one."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._complete(request, decoding)) for request in requests]
        outcomes = [task.result() for task in tasks]
        first = next((i for i, outcome in enumerate(outcomes) if self._faults.is_doubtful(outcome)), 0)
        return outcomes, await self._faults.cause(outcomes, lambda: self._probe(self._path(requests[first], decoding)))

    async def _complete(self, request: Request, decoding: Decoding) -> Completion | EngineError:
        """The completion of a request, or why there is none."""
        if not request.image_files:
            return await self._attempt(request, decoding, [])
        async with self._slots:  # the pictures of the other requests stay encoded as they are
            try:
                images = await asyncio.to_thread(sent_images, request)
            except InputError as error:
                return EngineError(str(error))
            return await self._attempt(request, decoding, images)

    async def _attempt(
        self, request: Request, decoding: Decoding, images: Sequence[dict[str, Any]]
    ) -> Completion | EngineError:
        """The completion of a request with as many few-shot examples as the endpoint accepts, or why there is none."""
        complete = self._loglikelihoods if request.continuations else partial(self._generate, images=images)
        refusal: EngineError | None = None
        try:
            # Log-likelihoods do not depend on the limit of new tokens.
            for narrowed in [decoding] if request.continuations else shortened(decoding):
                for n_shots in range(len(request.shots), -1, -1):
                    try:
                        return await complete(request, n_shots, narrowed)
                    except RefusedError as error:
                        if not is_too_long(error):
                            return error
                        refusal = error
        except EngineError as error:
            return error
        except Exception as error:  # one odd answer must not cost those of the other requests
            return EngineError(f"the answer cannot be read: {type(error).__name__}: {first_line(error)}")
        return ContextTooLongError(f"context too long, even without few-shot examples: {refusal}")

    def _path(self, request: Request, decoding: Decoding) -> str:
        """Where a request is sent. Raises EngineError for a conversation if the expert has only completions."""
        if not (decoding.chat or request.image_files):
            return self._plain_path
        if self._settings.api == "completions":
            raise EngineError("the request has the chat form, and the expert is asked with --api completions only")
        return _CHAT

    async def _generate(
        self, request: Request, n_shots: int, decoding: Decoding, *, images: Sequence[dict[str, Any]]
    ) -> Completion:
        """A generated answer. Requests with images always use the chat form; see `messages.sent_images`."""
        path = self._path(request, decoding)
        body: dict[str, Any] = {"temperature": decoding.temperature}
        if path == _CHAT:
            body["messages"] = endpoint_messages(request, n_shots, images)
        else:
            body["prompt"] = clean(request.prompt(n_shots))
        # In the chat form a model ends its turn; a stop string of a plain prompt would also end its thoughts there.
        if decoding.stop and (decoding.chat or path == _PLAIN):
            body["stop"] = list(decoding.stop)
        # Greedy answers need no seed, and some endpoints refuse it. Without one, the endpoint samples anew.
        if decoding.temperature > 0 and decoding.seed is not None:
            body["seed"] = decoding.seed
        raw = await self._send_limited(path, body, decoding.max_new_tokens)
        require_model(raw, self._settings.model, self._settings.accept_model)
        answer = read_answer(raw)
        keeps = self._settings.keeps_reasoning
        return Completion(
            text=final_answer(answer.text, decoding.stop, keeps_reasoning=keeps, thoughts=answer.thoughts),
            finish_reason=answer.finish_reason,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            shots_used=n_shots,
        )

    async def _send_limited(self, path: str, body: dict[str, Any], limit: int | None) -> dict[str, Any]:
        """The answer with at most `limit` new tokens; with None, with as many as fit beside the prompt."""
        if limit is not None:
            return await self._send(path, body | {LIMIT: limit})
        if path == _CHAT:
            try:
                return await self._send(path, body)
            except RefusedError as error:
                if not requires_limit(error):
                    raise
        room = Room()
        for fitting in room.limits():
            try:
                return await self._send(path, body | {LIMIT: fitting})
            except RefusedError as error:
                if not room.note(error):
                    raise
                refusal = error
        raise refusal

    async def _send(self, path: str, body: dict[str, Any], deadline_s: float | None = None) -> dict[str, Any]:
        """The answer of the model, asked with the parameters that it takes. Raises as `Endpoint.request` does."""
        assert self._endpoint is not None  # noqa: S101  (the expert is loaded)
        endpoint, model = self._endpoint, {"model": self._settings.model}
        return await self._parameters.send(
            lambda taken: endpoint.request(path, model | taken, deadline_s=deadline_s), body
        )

    async def _loglikelihoods(self, request: Request, n_shots: int, decoding: Decoding) -> Completion:
        """The log-likelihoods of continuations, from the log-probabilities of echoed prompts.

        The scored tokens are those of `Prompter.pairs`; the echo of the prompt alone gives its number of tokens.
        """
        if decoding.chat or request.image_files:
            raise EngineError("engine openai scores continuations of plain text only, neither chat nor images")
        if self._plain_path == _CHAT:
            raise EngineError("continuations are scored by /completions, and the expert is asked by /chat/completions")
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

    async def _echo(self, text: str) -> tuple[float, ...]:
        """The log-probability of each token of a text; that of the first is unknown, and taken as 0."""
        # One new token, which is ignored: some endpoints refuse to generate none.
        body = {"prompt": text, "temperature": 0.0, "echo": True, "logprobs": 1, LIMIT: 1}
        raw = await self._send(_PLAIN, body)
        require_model(raw, self._settings.model, self._settings.accept_model)
        return read_echo(raw, text, 1)


def _completion(outcome: Completion | EngineError) -> Completion:
    return failure(outcome) if isinstance(outcome, EngineError) else outcome
