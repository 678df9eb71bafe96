"""What is stored of a head or a fallback is validated before it is used, whatever was changed in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy import sparse

from benchcoe_jobs.domain import Level
from benchcoe_jobs.routers.base import Examples, Head
from benchcoe_jobs.routers.blend import BlendHead
from benchcoe_jobs.routers.fallback import Calibration, Fallback
from benchcoe_jobs.routers.linear import BceHead, LogisticHead, RidgeHead
from benchcoe_jobs.routers.neighbours import KnnHead
from benchcoe_jobs.routers.perceptron import PerceptronClassifier, PerceptronRegressor
from benchcoe_jobs.routers.stored import StoredConfig, stored_array, why

N, D, K = 12, 5, 3
_rng = np.random.default_rng(0)
X = _rng.normal(size=(N, D))
X /= np.linalg.norm(X, axis=1, keepdims=True)
SUBJECTS = [f"s{row % K}" for row in range(N)]
ONE_HOT = np.eye(K)[[row % K for row in range(N)]]
SCORES = _rng.random((N, K))

Arrays = Mapping[str, NDArray[Any]]


def fitted(head: Head, targets: NDArray[np.float64]) -> Head:
    head.fit(X, Examples((), SUBJECTS, targets))
    return head


HEADS = {
    "logistic": fitted(LogisticHead(), ONE_HOT),
    "ridge": fitted(RidgeHead(), SCORES),
    "bce": fitted(BceHead(), SCORES),
    "knn": fitted(KnnHead(3), np.where(SCORES > 0.9, np.nan, SCORES)),
    "knn, extended": fitted(KnnHead(3), SCORES[:, :1]).extended(X[:7], Examples((), SUBJECTS[:7], SCORES[:7, 1:])),  # type: ignore[attr-defined]
    "classifier": fitted(PerceptronClassifier(), ONE_HOT),
    "regressor": fitted(PerceptronRegressor(), SCORES),
    "blend": fitted(BlendHead(), SCORES),
}

CHANGES: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "flat": lambda a: a.reshape(-1),
    "deep": lambda a: a[None],
    "one row less": lambda a: a[1:],
    "one column less": lambda a: a[..., 1:],
    "empty": lambda a: a[:0],
    "doubled": lambda a: np.concatenate([a, a]),
    "transposed": lambda a: np.ascontiguousarray(a.T),
    "float32": lambda a: a.astype(np.float32),
    "integers": lambda a: np.zeros(a.shape, dtype=np.int64),
    "booleans": lambda a: np.ones(a.shape, dtype=bool),
    "NaN": lambda a: np.full(a.shape, np.nan),
    "infinite": lambda a: np.full(a.shape, np.inf),
    "huge": lambda a: np.full(a.shape, 2**40).astype(a.dtype),
    "negative": lambda a: np.full(a.shape, -1).astype(a.dtype),
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@st.composite
def damaged(draw: st.DrawFn, config: Mapping[str, Any], arrays: Arrays) -> tuple[dict[str, Any], dict[str, Any]]:
    """A configuration and arrays with one or two changes."""
    config, arrays = dict(config), dict(arrays)
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from([*config, *arrays, "another"]))
        if name in arrays:
            change = draw(st.sampled_from(["gone", *CHANGES]))
            if change == "gone":
                del arrays[name]
            else:
                arrays[name] = CHANGES[change](arrays[name])
        elif draw(st.booleans()):
            config.pop(name, None)
        else:
            config[name] = draw(JSON)
    return config, arrays


@pytest.mark.parametrize("name", HEADS)
def test_a_head_comes_back_with_its_shape_and_its_predictions(name: str) -> None:
    head = HEADS[name]
    again = type(head).restore(head.config(), head.arrays())
    assert again.shape == head.shape == (K, D)
    np.testing.assert_array_equal(again.predict(X), head.predict(X))


def restored(restore: Callable[..., Any], config: Mapping[str, Any], arrays: Arrays) -> Any:
    """The restored part, or None if it is refused in one line."""
    part, says = None, ""
    try:
        part = restore(config, arrays)
    except ValueError as error:
        says = why(error)
    assert "\n" not in says
    return part


def test_a_name_in_a_file_does_not_break_the_line_of_its_error() -> None:
    for name in ("\r\n", "a\nb", "\x1b[2J", "x" * 70_000):
        with pytest.raises(ValidationError) as caught:
            StoredConfig.model_validate({name: None})
        assert re.fullmatch(r"[ -~]{1,200}", why(caught.value))


@pytest.mark.parametrize("name", HEADS)
@settings(max_examples=examples(30), deadline=None)
@given(data=st.data())
def test_a_damaged_head_is_refused_or_predicts(name: str, data: st.DataObject) -> None:
    head = HEADS[name]
    again = restored(type(head).restore, *data.draw(damaged(head.config(), head.arrays())))
    if again is not None:
        outputs, width = again.shape
        with np.errstate(over="ignore", invalid="ignore"):
            assert again.predict(np.full((2, width), 0.1)).shape == (2, outputs)


@pytest.mark.parametrize("vectors", [X, sparse.csr_matrix(np.where(X > 0, X, 0.0))], ids=["dense", "sparse"])
@settings(max_examples=examples(40), deadline=None)
@given(data=st.data())
def test_a_damaged_fallback_is_refused_or_measures(vectors: Any, data: st.DataObject) -> None:
    fallback = Fallback(vectors, 0.3, Calibration(0.1, 0.2, 0.01, 0.0, 0.0, 9))
    again = restored(Fallback.restore, *data.draw(damaged(fallback.config(), fallback.arrays())))
    if again is not None:
        x = np.full((2, again.training_vectors.shape[1]), 0.1)
        x = sparse.csr_matrix(x) if sparse.issparse(again.training_vectors) else x
        with np.errstate(over="ignore", invalid="ignore"):
            assert again.familiarity(Level.QUERY, x, np.ones((2, K))).shape == (2,)


def test_the_message_names_the_array() -> None:
    arrays = {"weights": np.ones((2, 3)), "nan": np.full(2, np.nan)}
    assert stored_array(arrays, "weights", (None, 3)) is arrays["weights"]
    for name, shape, says in [
        ("bias", (2,), "bias is missing"),
        ("weights", (None, 4), "weights is float64 2 x 3, not f n x 4"),
        ("nan", (2,), "nan has a value that is not a finite number"),
    ]:
        with pytest.raises(ValueError, match=says):
            stored_array(arrays, name, shape)
