"""The decisions of semantic routes, against the rule written plainly."""

from __future__ import annotations

import numpy as np

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.services.export.semantic_routes import EXAMPLES, NEIGHBOURS, make_routes
from benchcoe_jobs.store.results.catalog import Question


def test_the_route_with_the_highest_mean_of_the_nearest_examples_is_chosen() -> None:
    rng = np.random.default_rng(0)

    def unit(n: int) -> np.ndarray:
        vectors = rng.normal(size=(n, 4))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    subjects = [f"s{i % 3}" for i in range(200)]
    questions = [Question(i, str(i), subject, "train", 1, RouterInput(f"q{i}")) for i, subject in enumerate(subjects)]
    vectors = unit(200)
    routes = make_routes(questions, vectors, {"s0": "ann", "s1": "bob", "s2": "ann"})
    assert [len(examples) for examples in routes.examples] == [2 * EXAMPLES, EXAMPLES]
    of_bob = vectors[1::3]
    nearest = sorted(range(len(of_bob)), key=lambda row: -float(of_bob[row] @ of_bob.mean(axis=0)))[:EXAMPLES]
    assert routes.examples[1] == [f"q{3 * row + 1}" for row in nearest]
    others = unit(50)
    chosen, means = routes.choose(others)
    for vector, route, mean in zip(others, chosen.tolist(), means.tolist(), strict=True):
        hits = sorted(
            ((float(v @ vector), int(r)) for v, r in zip(routes.vectors, routes.owner, strict=True)), reverse=True
        )
        of_route: dict[int, list[float]] = {}
        for score, owner in hits[:NEIGHBOURS]:
            of_route.setdefault(owner, []).append(score)
        expected = max(of_route, key=lambda one: float(np.mean(of_route[one])))
        assert route == expected
        assert abs(mean - float(np.mean(of_route[expected]))) < 1e-9
