"""The engine `transformers`: Hugging Face models in batches, on the GPU if there is one.

Greedy answers in float32 do not depend on the batch, except for near-ties of logits, whose rounding depends on the
shape of the batch. The same holds for sampled answers, see `decoding.SeededSampling`. The placeholder of an image is
known only to the chat template, so requests with images always use the chat form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from benchcoe_jobs.domain import Completion, Decoding, Request
from benchcoe_jobs.engines.base import ENDPOINT_SETTINGS, EngineTraits, ExpertSettings
from benchcoe_jobs.engines.batching import complete_by_kind, compute_in_batches
from benchcoe_jobs.engines.errors import EngineError, ModelNotFoundError, OutOfMemoryError
from benchcoe_jobs.engines.prompts import Prompt, Prompter, completed, failure, prepare
from benchcoe_jobs.engines.weights import find_model
from benchcoe_jobs.errors import MissingError

if TYPE_CHECKING:
    from benchcoe_jobs.engines.model import LocalModel
    from benchcoe_jobs.engines.vision import VisionProcessor, VisionPrompt


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
        self._vision = self._load_vision() if self._model.takes_images else None

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
        return (
            {
                "engine": "transformers",
                "transformers": version("transformers"),
                "torch": version("torch"),
                "model": self._settings.model,
                "revision": self._revision,
                "dtype": self._model.dtype,
                "max_model_len": str(self._model.context),
            }
            | ({"reasoning": "keep"} if self._settings.keeps_reasoning else {})
            | ({} if self._vision is None else self._vision.versions)
        )

    def close(self) -> None:
        """Do nothing: the memory is released with the process."""

    def _generate(self, requests: Mapping[int, Request], decoding: Decoding) -> dict[int, Completion]:
        """Answers to requests with text only."""
        prompts, completions = self._prompter.prompts(requests, decoding)

        def compute(batch: list[Prompt]) -> list[Completion]:
            return self._generate_batch(self._model.batch([prompt.ids for prompt in batch]), batch, decoding)

        computed = compute_in_batches(prompts, self._settings.batch_size, lambda one: len(one.ids), compute)
        return completions | _completions(computed)

    def _generate_from_images(self, requests: Mapping[int, Request], decoding: Decoding) -> dict[int, Completion]:
        """Answers to requests with images and text."""
        vision = self._vision
        if vision is None:
            return dict.fromkeys(requests, failure(EngineError(f"model {self._settings.model} does not accept images")))
        sized, completions = prepare(requests, lambda request: (request, vision.pixels(request)))

        def compute(batch: list[tuple[Request, int]]) -> list[Completion]:
            prepared, done = vision.prepare(dict(enumerate(request for request, _ in batch)), decoding)
            for one in prepared:
                answers = self._generate_batch(one.inputs, list(one.prompts.values()), replace(decoding, chat=True))
                done |= dict(zip(one.prompts, answers, strict=True))
            return [done[place] for place in range(len(batch))]

        computed = compute_in_batches(
            sized,
            self._settings.batch_size,
            lambda one: (one[1], len(one[0].question)),
            compute,
            most=lambda batch: vision.most([pixels for _, pixels in batch]),
        )
        return completions | _completions(computed)

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
        limits, seeds = [one.max_new_tokens for one in batch], [one.seed for one in batch]
        rows = self._model.generate(inputs, decoding, limits, seeds)
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

    def _load_vision(self) -> VisionProcessor | None:
        """What builds inputs with images; None if the model has no chat template, which has their places."""
        from benchcoe_jobs.engines.vision import VisionProcessor

        try:
            processor = self._model.processor()
            return VisionProcessor(processor, self._prompter) if processor.chat_template else None
        except (ModelNotFoundError, MissingError) as error:
            raise type(error)(f"model {self._settings.model} cannot see: {error}") from error


def _completions(computed: Mapping[int, Completion | OutOfMemoryError]) -> dict[int, Completion]:
    return {index: failure(one) if isinstance(one, OutOfMemoryError) else one for index, one in computed.items()}
