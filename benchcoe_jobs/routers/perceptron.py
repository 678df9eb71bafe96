"""Small perceptrons with one hidden layer; at query level one network per expert.

scikit-learn is imported to fit a head; a fitted head predicts with numpy only.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.routers.base import Examples, Matrix
from benchcoe_jobs.routers.stored import StoredConfig, stored_array

# From this many questions on, training stops early by the loss on a tenth of them.
_MANY = 1_000

_HIDDEN = 32
_OPTIONS: dict[str, Any] = {
    "hidden_layer_sizes": (_HIDDEN,),
    "learning_rate_init": 0.01,
    "alpha": 1e-3,
    "max_iter": 200,
    "random_state": 0,
}


class _Perceptron:
    """Layers of m networks: hidden weights (m, d, h) and biases (m, h), output weights (m, h, o) and biases (m, o)."""

    _networks: ClassVar[int | None] = None
    """m, if it is the same for every router; None: there is a network for each output, and o is 1."""

    def __init__(self) -> None:
        self._layers: dict[str, Floats] = {}

    def config(self) -> dict[str, Any]:
        return {}

    def arrays(self) -> dict[str, NDArray[Any]]:
        return dict(self._layers)

    @property
    def shape(self) -> tuple[int, int]:
        m, d, _ = self._layers["hidden"].shape
        return m * self._layers["output"].shape[2], d

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        StoredConfig.model_validate(config)
        hidden = stored_array(arrays, "hidden", (cls._networks, None, None))
        m, _, h = hidden.shape
        output = stored_array(arrays, "output", (m, h, None if cls._networks else 1))
        head = cls()
        head._layers = {
            "hidden": hidden,
            "hidden_bias": stored_array(arrays, "hidden_bias", (m, h)),
            "output": output,
            "output_bias": stored_array(arrays, "output_bias", (m, output.shape[2])),
        }
        return head

    def _values(self, x: Matrix) -> list[Floats]:
        """Outputs (n, o) of each network. Each is computed alone, so that none depends on the others."""
        x = np.asarray(x, dtype=np.float64)
        layers = (self._layers[name] for name in ("hidden", "hidden_bias", "output", "output_bias"))
        return [
            np.maximum(x @ hidden + bias, 0.0) @ output + last
            for hidden, bias, output, last in zip(*layers, strict=True)
        ]


class PerceptronClassifier(_Perceptron):
    """One network for all subjects; predicts the probability of each (subject level)."""

    _networks = 1

    def fit(self, x: Matrix, examples: Examples) -> None:
        """Learn one-hot targets (n, k), k >= 2, without NaN; every output has a row."""
        from sklearn.neural_network import MLPClassifier

        subject_of = examples.targets.argmax(axis=1)
        model = _learned(MLPClassifier, x, subject_of)
        layers = _layers(model)
        if examples.targets.shape[1] == 2:  # scikit-learn has one logit; that of the first class is zero
            layers["output"] = np.hstack([np.zeros_like(layers["output"]), layers["output"]])
            layers["output_bias"] = np.concatenate([[0.0], layers["output_bias"]])
        self._layers = _stacked([layers])

    def predict(self, x: Matrix) -> Floats:
        """Probabilities (n, k); each row sums to one."""
        [values] = self._values(x)
        odds: Floats = np.exp(values - values.max(axis=1, keepdims=True))
        odds /= odds.sum(axis=1, keepdims=True)
        return odds


class PerceptronRegressor(_Perceptron):
    """One network per expert; predicts scores (query level)."""

    def fit(self, x: Matrix, examples: Examples) -> None:
        """Learn targets (n, k), NaN if unknown."""
        self._layers = _stacked([_regressor(x, column) for column in examples.targets.T])

    def predict(self, x: Matrix) -> Floats:
        """Predicted scores (n, k). They are not clipped to [0, 1]: clipping would make ties."""
        return np.hstack(self._values(x))

    def extended(self, x: Matrix, examples: Examples) -> Self:
        """A head with more columns, learned from targets (n, k'), NaN if unknown."""
        new = _stacked([_regressor(x, column) for column in examples.targets.T])
        return self.restore({}, {name: np.concatenate([self._layers[name], new[name]]) for name in new})


def _regressor(x: Matrix, scores: Floats) -> dict[str, Floats]:
    from sklearn.neural_network import MLPRegressor

    known = ~np.isnan(scores)
    scores = scores[known]
    if (scores == scores[0]).all():  # a network would have nothing to learn, and scikit-learn refuses a single question
        return {
            "hidden": np.zeros((x.shape[1], _HIDDEN)),
            "hidden_bias": np.zeros(_HIDDEN),
            "output": np.zeros((_HIDDEN, 1)),
            "output_bias": scores[:1],
        }
    return _layers(_learned(MLPRegressor, x[known], scores))


def _learned(network: Any, x: Matrix, targets: NDArray[Any]) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    model = network(**_OPTIONS, early_stopping=len(targets) >= _MANY)
    with warnings.catch_warnings():
        # A network that has not fully converged after max_iter iterations routes equally well.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(np.asarray(x, dtype=np.float64), targets)


def _layers(model: Any) -> dict[str, Floats]:
    (hidden, output), (hidden_bias, output_bias) = model.coefs_, model.intercepts_
    return {"hidden": hidden, "hidden_bias": hidden_bias, "output": output, "output_bias": output_bias}


def _stacked(networks: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    return {name: np.stack([network[name] for network in networks]) for name in networks[0]}
