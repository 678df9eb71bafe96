"""The engine `transformers`: Hugging Face models, batched, on the GPU where there is one.

Greedy answers in float32 do not depend on the batch, up to near-ties of logits, whose rounding
follows the shape of a batch. Nor do sampled ones, see `decoding.SeededSampling`. An image needs a
placeholder that only a chat template knows, so requests with images are always asked in chat form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

from benchcoe_jobs.domain import Completion, Decoding, Request
from benchcoe_jobs.engines.base import EngineTraits, ExpertSettings
from benchcoe_jobs.engines.batching import by_kind, in_batches
from benchcoe_jobs.engines.errors import EngineError, OutOfMemoryError
from benchcoe_jobs.engines.prompts import Prompt, Prompter, completed, failure, prepare, request_seed
from benchcoe_jobs.engines.weights import find_model
from benchcoe_jobs.errors import MissingError

if TYPE_CHECKING:
    from benchcoe_jobs.engines.model import LocalModel
    from benchcoe_jobs.engines.vision import VisionProcessor, VisionPrompt

Promptable = TypeVar("Promptable", Prompt, "VisionPrompt")


class TransformersEngine:
    """One model of the Hugging Face kind: text, or images and text."""

    traits = EngineTraits()
    _model: LocalModel
    _sight: VisionProcessor | None = None

    def load(self, settings: ExpertSettings) -> None:
        """See `Engine.load`."""
        settings.require_default("base_url", "api_key_env", "tensor_parallel")
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
        """See `Engine.run`. Latency is that of the whole batch."""
        return by_kind(
            requests,
            score=lambda asked: self._score(asked, decoding),
            answer_images=lambda asked: self._answer_images(asked, decoding),
            write=lambda asked: self._write(asked, decoding),
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
        }

    def close(self) -> None:
        """Nothing to do: the memory goes with the process."""

    def _write(self, requests: Mapping[int, Request], decoding: Decoding) -> dict[int, Completion]:
        """Answers to text."""
        prompts, completions = self._prompter.prompts(requests, decoding)

        def compute(batch: list[Prompt]) -> list[Completion]:
            return self._generate(self._model.batch([prompt.ids for prompt in batch]), batch, decoding)

        return completions | self._batched(prompts, compute)

    def _answer_images(self, requests: Mapping[int, Request], decoding: Decoding) -> dict[int, Completion]:
        """Answers to images and text."""
        try:
            sight = self._sight = self._sight or self._load_vision()
        except EngineError as error:
            return dict.fromkeys(requests, failure(error))
        seen, completions = prepare(requests, lambda request: sight.prepare(request, decoding))

        def compute(batch: list[VisionPrompt]) -> list[Completion]:
            return self._generate(sight.inputs([one.conversation for one in batch]), batch, decoding)

        return completions | self._batched(seen, compute)

    def _score(self, requests: Mapping[int, Request], decoding: Decoding) -> dict[int, Completion]:
        """How likely continuations are."""
        prepared, completions = prepare(requests, lambda request: self._prompter.pairs(request, decoding))
        flat = {(i, n): pair for i, (row, _) in prepared.items() for n, pair in enumerate(row)}
        answers = in_batches(flat, self._settings.batch_size, lambda pair: len(pair.ids), self._model.loglikelihoods)
        for index, (row, prompt) in prepared.items():
            found = [answers[index, n] for n in range(len(row))]
            errors = [one for one in found if isinstance(one, OutOfMemoryError)]
            completions[index] = (
                failure(errors[0])
                if errors
                else Completion(
                    prompt_tokens=len(prompt.ids),
                    completion_tokens=sum(pair.n_scored for pair in row),
                    shots_used=prompt.shots_used,
                    loglikelihoods=tuple(one for one in found if not isinstance(one, OutOfMemoryError)),
                )
            )
        return completions

    def _generate(
        self, inputs: Mapping[str, Any], batch: Sequence[Prompt | VisionPrompt], decoding: Decoding
    ) -> list[Completion]:
        decoding = replace(decoding, max_new_tokens=batch[0].max_new_tokens)
        rows = self._model.generate(inputs, decoding, [request_seed(decoding, one.ids) for one in batch])
        return [
            completed(self._prompter.answer(one.ids, ids), len(one.ids), len(ids), one.shots_used, stopped, decoding)
            for one, (ids, stopped) in zip(batch, rows, strict=True)
        ]

    def _batched(
        self, prepared: Mapping[int, Promptable], compute: Callable[[list[Promptable]], list[Completion]]
    ) -> dict[int, Completion]:
        """Only prompts with as many new tokens share a batch."""
        completions: dict[int, Completion] = {}
        for n_new in sorted({one.max_new_tokens for one in prepared.values()}):
            alike = {index: one for index, one in prepared.items() if one.max_new_tokens == n_new}
            answers = in_batches(alike, self._settings.batch_size, lambda one: len(one.ids), compute)
            for index, answer in answers.items():
                completions[index] = failure(answer) if isinstance(answer, OutOfMemoryError) else answer
        return completions

    def _load_vision(self) -> VisionProcessor:
        from benchcoe_jobs.engines.vision import VisionProcessor

        return VisionProcessor(self._model.processor(), self._prompter)
