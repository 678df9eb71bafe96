"""Decoding inside `generate` of `transformers`: stop strings for each row, and sampling with a seed for each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

# Some tokens decode to no byte (special tokens are skipped), so a few more are decoded.
_SPARE = 4


class StopOnStrings:
    """Ends each row as soon as its new tokens contain a stop string; the prompt does not count.

    The criterion of transformers also matches a string that begins in the prompt. `lengths` has the number of new
    tokens of each row that was ended.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str], prompt_length: int) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._start = prompt_length
        # All other tokens are at least one byte, so a stop string ends within this many.
        self._window = max(len(string.encode()) for string in stop) + _SPARE
        self.lengths: dict[int, int] = {}

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        """Whether each row is done: (n,) booleans for the token ids (n, length) so far."""
        n_new = input_ids.shape[1] - self._start
        rows = [row for row in range(input_ids.shape[0]) if row not in self.lengths]
        tails = input_ids[rows, -min(n_new, self._window) :].tolist()
        for row, tail in zip(rows, tails, strict=True):
            text = self._tokenizer.decode(tail, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            if any(string in text for string in self._stop):
                self.lengths[row] = n_new
        done = torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)
        done[list(self.lengths)] = True
        return done


class StopAtLimits:
    """Ends each row once it has as many new tokens as its own limit allows."""

    def __init__(self, limits: Sequence[int], prompt_length: int) -> None:
        self._ends = torch.tensor(limits) + prompt_length

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        """Whether each row is done: (n,) booleans for the token ids (n, length) so far."""
        return (self._ends <= input_ids.shape[1]).to(input_ids.device)


class SeededSampling:
    """Turns greedy decoding into sampling: adds Gumbel noise from one generator per row.

    argmax(logits / T + Gumbel noise) is an exact draw from softmax(logits / T). The noise of a row depends only on
    its seed, whereas torch's global generator would make it depend on the row's position in the batch. The rounding
    of the logits still depends on the batch.
    """

    def __init__(self, temperature: float, seeds: Sequence[int], device: torch.device) -> None:
        self._temperature = temperature
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The logits with noise, (n, vocabulary) float32."""
        noise = torch.empty_like(scores, dtype=torch.float32)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores.float() / self._temperature - noise.log()
