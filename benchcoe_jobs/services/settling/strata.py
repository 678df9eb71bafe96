"""The strata of a benchmark while a job settles them: what the store knows, what is settled, what is asked next."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.services.score_matrix import ScoreMatrix, fill
from benchcoe_jobs.services.settling.predicted_scores import Features
from benchcoe_jobs.services.settling.rounds import Estimate, Rival, Rule, next_round, settled
from benchcoe_jobs.services.settling.sequential_test import Round
from benchcoe_jobs.store.results import score_table, settling
from benchcoe_jobs.store.results.joins import QueryRef

_MOST_EXPERTS = 16
"""Other experts whose scores predict those of the expert: more hardly help, and their scores have to be read."""


@dataclass(frozen=True)
class ScoresSoFar:
    """The scores (n,) of an expert on questions so far, NaN if unknown, and their predictions (n,).

    `errors` (n,) marks questions that were asked in vain. `rows` has the positions of the questions of each stratum.
    """

    queries: Sequence[QueryRef]
    scores: Floats
    errors: NDArray[np.bool_]
    predicted: Floats
    rows: Mapping[int, NDArray[np.intp]]

    @classmethod
    def read(
        cls,
        connection: Connection,
        benchmark_id: int,
        expert_id: int,
        queries: Sequence[QueryRef],
        errors: Collection[int],
    ) -> ScoresSoFar:
        """The scores of an expert on some questions of one split. `errors` are ids of questions asked in vain."""
        split = queries[0].split
        others = settling.most_scored(connection, benchmark_id, split, expert_id, _MOST_EXPERTS)
        found = score_table.scores(connection, benchmark_id, [expert_id, *others], split)
        table = fill(found, [query.id for query in queries], [expert_id, *others])
        matrix = ScoreMatrix([], list(queries), table)
        strata = np.array([query.stratum_id for query in queries])
        rows = {int(stratum): np.flatnonzero(strata == stratum) for stratum in np.unique(strata)}
        winners = np.full(len(queries), np.nan)
        for stratum, winner in settling.winners(connection, expert_id, list(rows)).items():
            if winner in others:
                winners[rows[stratum]] = table[rows[stratum], 1 + others.index(winner)]
        features = Features.of(table[:, 1:], winners, matrix.subject_codes())
        scores = table[:, 0]
        in_vain = np.array([query.id in errors for query in queries]) & np.isnan(scores)
        return cls(queries, scores, in_vain, features.predict(scores), rows)

    def estimate(
        self, stratum: int, rounds: Iterable[Mapping[str, Any]], rivals: Sequence[Rival], rule: Rule
    ) -> Estimate | None:
        """See `rounds.settled`; `rounds` are the stored contents of the stratum's rounds."""
        of = self.rows[stratum]
        score_of = {self.queries[row].id: float(self.scores[row]) for row in of}
        drawn = _as_rounds([content for content in rounds if content["n_queries"] == len(of)], score_of)
        return settled(drawn, self.scores[of], self.errors[of], self.predicted[of], rivals, rule)

    def rest(self, stratum: int) -> NDArray[np.intp]:
        """The positions of the questions of a stratum that can still be asked."""
        of = self.rows[stratum]
        left: NDArray[np.intp] = of[np.isnan(self.scores[of]) & ~self.errors[of]]
        return left

    def draw(self, stratum: int, rng: np.random.Generator, *, everything: bool) -> dict[str, Any]:
        """The content of the next round of a stratum: its questions, and what is known when they are drawn."""
        of, rest = self.rows[stratum], self.rest(stratum)
        drawn = rng.permutation(rest) if everything else next_round(rest, len(of) - len(rest), rng)
        guesses = self.predicted[rest]
        return {
            "queries": [self.queries[row].id for row in drawn],
            "predicted": self.predicted[drawn].tolist(),
            "n_queries": len(of),
            "n_rest": len(rest),
            "rest_sum": float(guesses.sum()),
            "rest_min": float(guesses.min()),
            "rest_max": float(guesses.max()),
            "known": float(np.nansum(self.scores[of])),
            "n_errors": int(self.errors[of].sum()),
        }


def _as_rounds(contents: Sequence[Mapping[str, Any]], score_of: Mapping[int, float]) -> list[Round]:
    """The rounds with their scores. A question that was drawn again (its shard failed) counts in the last one."""
    found, later = [], set[int]()
    for content in reversed(contents):
        scores = [np.nan if query in later else score_of.get(query, np.nan) for query in content["queries"]]
        later.update(content["queries"])
        figures = {name: content[name] for name in ("n_rest", "rest_sum", "rest_min", "rest_max", "known", "n_errors")}
        found.append(Round(np.array(scores), np.array(content["predicted"]), **figures))
    return found[::-1]
