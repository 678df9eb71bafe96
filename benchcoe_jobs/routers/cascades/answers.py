"""What a cascade sees of answers: which of them agree, and how each was extracted; never whether it is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.routers.stored import StoredConfig

# The mean score of a rule counts the expert's overall mean as this many more answers.
_PRIOR = 20.0

NO_ANSWER = -1
"""The code of a response from which no answer could be extracted."""


@dataclass(frozen=True)
class Answers:
    """The answers of k experts to n questions.

    `is_known` (n, k) is whether an expert has answered; the other arrays hold nothing where it has not. `codes` (n, k)
    are equal within a row if the answers are equal, and `NO_ANSWER` without one. `rules` (n, k) name the extraction
    rules, `lengths` (n, k) are in characters, and `is_cut` (n, k) tells which responses ended at their limit of tokens.
    `n_choices` (n,) is 0 for a question without choices. `costs` (n, k) are NaN if unknown.
    """

    is_known: NDArray[np.bool_]
    codes: NDArray[np.intp]
    rules: NDArray[np.object_]
    lengths: Floats
    is_cut: NDArray[np.bool_]
    n_choices: NDArray[np.intp]
    costs: Floats

    @classmethod
    def none(cls, n_choices: Sequence[int], k: int) -> Self:
        """No answer yet to n questions."""
        n = len(n_choices)
        return cls(
            np.zeros((n, k), dtype=bool),
            np.full((n, k), NO_ANSWER, dtype=np.intp),
            np.full((n, k), "", dtype=object),
            np.zeros((n, k)),
            np.zeros((n, k), dtype=bool),
            np.array(n_choices, dtype=np.intp),
            np.full((n, k), np.nan),
        )

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Answers:
        """The answers to some of the questions."""
        return replace(self, **{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def of(self, columns: Sequence[int]) -> Answers:
        """The answers of some of the experts, in that order."""
        per_expert = (field.name for field in fields(self) if field.name != "n_choices")
        return replace(self, **{name: getattr(self, name)[:, list(columns)] for name in per_expert})


class _Stored(StoredConfig):
    rules: list[dict[str, float]]
    length_means: list[float]
    length_scales: list[float]


@dataclass(frozen=True)
class Scales:
    """What k experts' answers looked like in training: the mean score by extraction rule, and the usual length.

    `rules` has the mean score of each rule less the expert's mean, `length_means` and `length_scales` are those of
    log(1 + length).
    """

    rules: tuple[Mapping[str, float], ...]
    length_means: tuple[float, ...]
    length_scales: tuple[float, ...]

    @classmethod
    def fit(cls, answers: Answers, scores: Floats) -> Self:
        """Learn them from answers with known scores (n, k), NaN if unknown."""
        rules, means, scales = [], [], []
        for column in range(scores.shape[1]):
            known = answers.is_known[:, column] & ~np.isnan(scores[:, column])
            score, rule = scores[known, column], answers.rules[known, column]
            overall = float(score.mean()) if len(score) else 0.0
            of_rules: dict[str, float] = {}
            for name in sorted(set(rule.tolist())):
                here = score[rule == name]
                of_rules[name] = float((here - overall).sum() / (len(here) + _PRIOR))
            rules.append(of_rules)
            logs = np.log1p(answers.lengths[known, column])
            means.append(float(logs.mean()) if len(logs) else 0.0)
            scales.append(float(logs.std()) + 1e-6 if len(logs) else 1.0)
        return cls(tuple(rules), tuple(means), tuple(scales))

    def of(self, columns: Sequence[int]) -> Scales:
        """Those of some of the experts."""
        return Scales(*(tuple(getattr(self, field.name)[c] for c in columns) for field in fields(self)))

    def apply(self, answers: Answers) -> Floats:
        """Four numbers for each answer, (n, k, 4): worth of its rule, no answer, length, and whether it was cut."""
        n, k = answers.codes.shape
        out = np.zeros((n, k, 4))
        for column in range(k):
            rule = self.rules[column]
            out[:, column, 0] = [rule.get(name, 0.0) for name in answers.rules[:, column].tolist()]
        out[:, :, 1] = answers.codes == NO_ANSWER
        lengths = (np.log1p(answers.lengths) - np.array(self.length_means)) / np.array(self.length_scales)
        out[:, :, 2] = np.clip(lengths, -4.0, 4.0)
        out[:, :, 3] = answers.is_cut
        return out

    def config(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        return {
            "rules": [dict(rules) for rules in self.rules],
            "length_means": list(self.length_means),
            "length_scales": list(self.length_scales),
        }

    @classmethod
    def restore(cls, config: Mapping[str, Any], length: int) -> Self:
        """Those of `length` experts back from `config()`. Raises ValueError if they do not fit."""
        stored = _Stored.model_validate(config)
        if {len(part) for part in (stored.rules, stored.length_means, stored.length_scales)} != {length}:
            raise ValueError("scales: one for each expert of the chain is expected")
        if not all(scale > 0 for scale in stored.length_scales):
            raise ValueError("length_scales: numbers above zero are expected")
        return cls(tuple(stored.rules), tuple(stored.length_means), tuple(stored.length_scales))
