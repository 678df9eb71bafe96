"""The engine `transformers`: Hugging Face models in batches, on the GPU if there is one.

Greedy answers in float32 do not depend on the batch, except for near-ties of logits, whose rounding depends on the
shape of the batch. The same holds for sampled answers, see `decoding.SeededSampling`. The placeholder of an image is
known only to the chat template, so requests with images always use the chat form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

from benchcoe_jobs.domain import Completion, Decoding, Request
from benchcoe_jobs.engines.base import ENDPOINT_SETTINGS, EngineTraits, ExpertSettings
from benchcoe_jobs.engines.batching import complete_by_kind, compute_in_batches
from benchcoe_jobs.engines.errors import EngineError, OutOfMemoryError
from benchcoe_jobs.engines.prompts import Prompt, Prompter, completed, failure, prepare
from benchcoe_jobs.engines.weights import find_model
from benchcoe_jobs.errors import MissingError

if TYPE_CHECKING:
    from benchcoe_jobs.engines.model import LocalModel
    from benchcoe_jobs.engines.vision import VisionProcessor, VisionPrompt

Promptable = TypeVar("Promptable", Prompt, "VisionPrompt")


class TransformersEngine:
    """One Hugging Face model for text, or for images and text."""

    traits = EngineTraits(opens_folders=True)
    _model: LocalModel
    _vision: VisionProcessor | None = None

    def load(self, settings: ExpertSettings) -> None:
        """See `Engine.load`."""
        settings.require_default(*ENDPOINT_SETTINGS, "tensor_parallel")
        try:
            from benchcoe_jobs.engines.model import LocalModel
        except ImportError as error:
            raise MissingError(
                f"engine transformers needs more packages ({error}): pip install 'benchcoe-jobs[engines]'"
            ) from error
        folder, self._revision = find_model(settings.model, settings.revision, with_code=settings.trust_remote_code)
        self._model = LocalModel(folder, settings)
        self._settings = settings
        self._prompter = Prompter(self._model.tokenizer, self._model.context)

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        """See `Engine.run`. The latency of a completion is that of the whole micro-batch."""
        return complete_by_kind(
            requests,
            loglikelihoods=lambda some: self._loglikelihoods(some, decoding),
            generate_from_images=lambda some: self._generate_from_images(some, decoding),
            generate=lambda some: self._generate(some, decoding),
        )

    def version(self) -> dict[str, str]:
        """See `Engine.version`."""
        return {
            "engine": "transformers",
            "transformers": version("transformers"),
            "torch": version("torch"),
            "model": self._settings.model,
            "revision": self._revision,
            "dtype": self._model.dtype,
            "max_model_len": str(self._model.context),
        } | ({"reasoning": "keep"} if self._settings.keeps_reasoning else {})

    def close(self) -> None:
        """Do nothing: the memory is released with the process."""

    def _generate(self, requests: Mapping[int, Request], decoding: Decoding) -> dict[int, Completion]:
        """Answers to requests with text only."""
        prompts, completions = self._prompter.prompts(requests, decoding)

        def compute(batch: list[Prompt]) -> list[Completion]:
            return self._generate_batch(self._model.batch([prompt.ids for prompt in batch]), batch, decoding)

        return completions | self._complete_in_batches(prompts, compute)

    def _generate_from_images(self, requests: Mapping[int, Request], decoding: Decoding) -> dict[int, Completion]:
        """Answers to requests with images and text."""
        try:
            vision = self._vision = self._vision or self._load_vision()
        except EngineError as error:
            return dict.fromkeys(requests, failure(error))
        prompts, completions = prepare(requests, lambda request: vision.prepare(request, decoding))

        def compute(batch: list[VisionPrompt]) -> list[Completion]:
            inputs = vision.inputs([prompt.conversation for prompt in batch])
            return self._generate_batch(inputs, batch, replace(decoding, chat=True))

        return completions | self._complete_in_batches(prompts, compute)

    def _loglikelihoods(self, requests: Mapping[int, Request], decoding: Decoding) -> dict[int, Completion]:
        """The log-likelihoods of continuations."""
        prepared, completions = prepare(requests, lambda request: self._prompter.pairs(request, decoding))
        flat = {(index, n): pair for index, (pairs, _) in prepared.items() for n, pair in enumerate(pairs)}
        batch_size, compute = self._settings.batch_size, self._model.loglikelihoods
        computed = compute_in_batches(flat, batch_size, lambda pair: len(pair.ids), compute)
        for index, (pairs, prompt) in prepared.items():
            values = [computed[index, n] for n in range(len(pairs))]
            errors = [value for value in values if isinstance(value, OutOfMemoryError)]
            completions[index] = (
                failure(errors[0])
                if errors
                else Completion(
                    prompt_tokens=len(prompt.ids),
                    completion_tokens=sum(pair.n_scored for pair in pairs),
                    shots_used=prompt.shots_used,
                    loglikelihoods=tuple(value for value in values if not isinstance(value, OutOfMemoryError)),
                )
            )
        return completions

    def _generate_batch(
        self, inputs: Mapping[str, Any], batch: Sequence[Prompt | VisionPrompt], decoding: Decoding
    ) -> list[Completion]:
        decoding = replace(decoding, max_new_tokens=batch[0].max_new_tokens)
        rows = self._model.generate(inputs, decoding, [one.seed for one in batch])
        return [
            completed(
                self._prompter.answer(one.ids, ids),
                len(one.ids),
                len(ids),
                one.shots_used,
                stopped,
                decoding,
                keeps_reasoning=self._settings.keeps_reasoning,
                begun=self._prompter.opens_thoughts(decoding),
            )
            for one, (ids, stopped) in zip(batch, rows, strict=True)
        ]

    def _complete_in_batches(
        self, prepared: Mapping[int, Promptable], compute: Callable[[list[Promptable]], list[Completion]]
    ) -> dict[int, Completion]:
        """Compute completions in batches of prompts with the same limit of new tokens."""
        completions: dict[int, Completion] = {}
        for n_new in sorted({one.max_new_tokens for one in prepared.values()}):
            same_limit = {index: one for index, one in prepared.items() if one.max_new_tokens == n_new}
            computed = compute_in_batches(same_limit, self._settings.batch_size, lambda one: len(one.ids), compute)
            for index, result in computed.items():
                completions[index] = failure(result) if isinstance(result, OutOfMemoryError) else result
        return completions

    def _load_vision(self) -> VisionProcessor:
        from benchcoe_jobs.engines.vision import VisionProcessor

        return VisionProcessor(self._model.processor(), self._prompter)
