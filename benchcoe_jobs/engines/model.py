"""A Hugging Face model in memory: loading, generation and log-likelihoods."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchcoe_jobs.domain import Decoding
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.decoding import SeededSampling, StopAtLimits, StopOnStrings
from benchcoe_jobs.engines.errors import ModelNotFoundError, OutOfMemoryError, engine_error
from benchcoe_jobs.engines.processors import load_processor
from benchcoe_jobs.engines.prompts import Pair
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.masking import first_line

# transformers is imported by name because its lazy modules have no types for a type checker.
_hf: Any = import_module("transformers")

_IGNORED = -100


class LocalModel:
    """The weights and tokenizer of one model, and its processor if it takes images. Needs torch and transformers.

    Raises ModelNotFoundError if the folder has no model that can be loaded, OutOfMemoryError if it does not fit,
    UsageError if max_model_len exceeds the model's context.
    """

    def __init__(self, folder: Path, settings: ExpertSettings) -> None:
        _hf.utils.logging.set_verbosity_error()
        _hf.utils.logging.disable_progress_bar()
        self._folder = folder
        self._settings = settings
        options = {"trust_remote_code": settings.trust_remote_code, "local_files_only": True}
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            config = self._config = _hf.AutoConfig.from_pretrained(folder, **options)
            self.context = _context(config, settings)
            self.tokenizer: Any = _hf.AutoTokenizer.from_pretrained(folder, **options)
            self.takes_images = type(config) in _hf.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
            model_class = _hf.AutoModelForImageTextToText if self.takes_images else _hf.AutoModelForCausalLM
            dtype = "float32" if settings.dtype == "auto" and self.device.type == "cpu" else settings.dtype
            self._model: Any = model_class.from_pretrained(folder, dtype=dtype, use_safetensors=True, **options)
            self._model = self._model.to(self.device).eval()
        except UsageError:
            raise
        except Exception as error:  # the library raises many types for a folder without a model
            known = engine_error(error)
            if isinstance(known, OutOfMemoryError):
                raise known from error
            raise ModelNotFoundError(f"model {settings.model} cannot be loaded: {first_line(error)}") from error
        self._eos = _ids(self._model.generation_config.eos_token_id) | _ids(self.tokenizer.eos_token_id)
        self._pad = next(iter(_ids(self.tokenizer.pad_token_id) or sorted(self._eos)), 0)
        # The model's defaults (top_p, repetition_penalty, ...) would change the meaning of a decoding.
        self._model.generation_config = _hf.GenerationConfig()
        accepted = inspect.signature(self._model.forward).parameters
        self._accepts_positions = "position_ids" in accepted
        self._accepts_keep = "logits_to_keep" in accepted

    @property
    def dtype(self) -> str:
        """The dtype of the weights, as in the settings."""
        return str(self._model.dtype).removeprefix("torch.")

    def processor(self) -> Any:
        """The processor that turns text and images into inputs. Raises as `processors.load_processor` does."""
        return load_processor(self._folder, self._config, self.tokenizer, self._settings)

    def batch(self, rows: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """Left-padded inputs for n rows of token ids: ids and mask, each (n, longest)."""
        longest = max(map(len, rows))
        ids = [[self._pad] * (longest - len(row)) + list(row) for row in rows]
        mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
        return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}

    @torch.inference_mode()
    def generate(
        self, inputs: Mapping[str, Any], decoding: Decoding, limits: Sequence[int], seeds: Sequence[int]
    ) -> list[tuple[list[int], bool]]:
        """The new token ids of each row, and whether it ended before its limit. Raises OutOfMemoryError.

        The ids include the end-of-text token and the token that completed a stop string. `limits` (one per row) take
        the place of max_new_tokens; `seeds` (one per row) are used if the temperature is above 0.
        """
        start = inputs["input_ids"].shape[1]
        stops = [StopOnStrings(self.tokenizer, decoding.stop, start)] if any(decoding.stop) else []
        shorter = [StopAtLimits(limits, start)] if min(limits) < max(limits) else []
        sampling = [SeededSampling(decoding.temperature, seeds, self.device)] if decoding.temperature > 0 else []
        output = self._model.generate(
            **{name: tensor.to(self.device) for name, tensor in inputs.items()},
            generation_config=_hf.GenerationConfig(
                max_new_tokens=max(limits),
                do_sample=False,
                eos_token_id=sorted(self._eos) or None,
                pad_token_id=self._pad,
            ),
            stopping_criteria=_hf.StoppingCriteriaList([*stops, *shorter]),
            logits_processor=_hf.LogitsProcessorList(sampling),
        )
        answers = []
        for row, (ids, limit) in enumerate(zip(output[:, start:].tolist(), limits, strict=True)):
            del ids[limit:]
            by_string = stops[0].lengths.get(row) if stops else None
            by_token = next((index + 1 for index, token in enumerate(ids) if token in self._eos), None)
            # Padding follows after either end, and may be an end-of-text token.
            length = min((n for n in (by_string, by_token) if n is not None and n <= limit), default=None)
            answers.append((ids[:length], length is not None))
        return answers

    @torch.inference_mode()
    def loglikelihoods(self, pairs: Sequence[Pair]) -> list[float]:
        """The natural-log probability of the scored tokens of each pair given the others, in one forward pass."""
        inputs = {name: tensor.to(self.device) for name, tensor in self.batch([p.ids[:-1] for p in pairs]).items()}
        keep = max(pair.n_scored for pair in pairs)
        if self._accepts_positions:
            inputs["position_ids"] = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        # Logits are large because of the vocabulary, so only those that are used are computed.
        logits = self._model(**inputs, **({"logits_to_keep": keep} if self._accepts_keep else {})).logits
        targets = torch.tensor(
            [[_IGNORED] * (keep - pair.n_scored) + list(pair.ids[-pair.n_scored :]) for pair in pairs],
            device=self.device,
        )
        losses = torch.nn.functional.cross_entropy(
            logits[:, -keep:].float().transpose(1, 2), targets, ignore_index=_IGNORED, reduction="none"
        )
        return [-total for total in losses.double().sum(-1).tolist()]


def _context(config: Any, settings: ExpertSettings) -> int | None:
    own: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
    wanted = settings.max_model_len
    if own and wanted and wanted > own:
        raise UsageError(f"model {settings.model} has a context of {own} tokens: max_model_len cannot be {wanted}")
    return wanted or own


def _ids(value: int | list[int] | None) -> set[int]:
    return set() if value is None else {value} if isinstance(value, int) else set(value)
