"""Multinomial logistic regression on dense vectors that ends in time."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SoftmaxRegression"]

_ITERATIONS = 300
_GRADIENT_TOLERANCE = 1e-4


class SoftmaxRegression:
    """The same classifier as scikit-learn's ``LogisticRegression(C=…, class_weight="balanced")``, with a time limit.

    It computes in float32, and keeps the best weights so far when its time is up.

    Args:
        c: inverse strength of the penalty on the squared weights.
        seconds: most seconds of :meth:`fit`.
    """

    def __init__(self, c: float, seconds: float) -> None:
        self._c, self._seconds = c, seconds
        self.converged = False
        """Whether it ended before its time was up."""
        self._weights: NDArray[np.float32] = np.zeros((0, 0), np.float32)

    def fit(self, vectors: NDArray[np.float32], classes: NDArray[np.int64], count: int) -> SoftmaxRegression:
        """Fit the weights.

        Args:
            vectors: [rows, dimensions].
            classes: [rows], the class of each row.
            count: number of classes.

        Returns:
            Itself.
        """
        from scipy.optimize import minimize

        rows, width = vectors.shape
        inputs = np.concatenate([vectors, np.ones((rows, 1), np.float32)], axis=1)
        sizes = np.bincount(classes, minlength=count)
        balance = (rows / (count * np.maximum(sizes, 1))).astype(np.float32)[classes]
        total = float(balance.sum())
        penalty = 1.0 / (self._c * total)
        deadline = time.monotonic() + self._seconds

        def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            weights = flat.astype(np.float32).reshape(width + 1, count)
            scores = inputs @ weights
            scores -= scores.max(axis=1, keepdims=True)
            own = scores[np.arange(rows), classes]
            np.exp(scores, out=scores)
            sums = scores.sum(axis=1)
            value = float(balance @ (np.log(sums) - own)) / total
            scores /= sums[:, None]
            scores[np.arange(rows), classes] -= 1.0
            scores *= balance[:, None] / total
            gradient = inputs.T @ scores
            penalised = weights.copy()
            penalised[-1] = 0.0  # the intercepts
            value += 0.5 * penalty * float((penalised * penalised).sum())
            return value, (gradient + penalty * penalised).astype(np.float64).ravel()

        def stop_in_time(_: Any) -> None:
            if time.monotonic() > deadline:
                raise StopIteration

        found = minimize(
            loss,
            np.zeros((width + 1) * count),
            jac=True,
            method="L-BFGS-B",
            callback=stop_in_time,
            options={"maxiter": _ITERATIONS, "gtol": _GRADIENT_TOLERANCE, "ftol": 64 * np.finfo(np.float64).eps},
        )
        self.converged = time.monotonic() <= deadline
        self._weights = found.x.astype(np.float32).reshape(width + 1, count)
        return self

    def predict_proba(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Compute the probabilities of all classes.

        Args:
            vectors: [rows, dimensions].

        Returns:
            [rows, classes], each row with the sum 1.
        """
        scores = vectors @ self._weights[:-1] + self._weights[-1]
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        return np.asarray(scores / scores.sum(axis=1, keepdims=True), dtype=np.float64)
