"""Laplace's approximation: a Gaussian around trained weights, as wide as the loss is flat there."""

from functools import partial
from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

import tfp_bnn as bnn
from scripts.data import uci_data
from scripts.learning import uci_learning

PRIOR_PRECISIONS = np.geomspace(1e-4, 1e4, 81)

# The same network with plain weights, their prior a weight decay.
plain_network = partial(uci_learning.dropout_network, dropout_rate=0.0)


class LaplaceLearner(uci_learning.Learner):
    """A plain network and the Gaussian `N(w | w_trained, (sum_n J_n^T F_n J_n + delta)^-1)` around its weights.

    J_n are the derivatives of the outputs for row n in the weights, F_n is the Fisher information of its target in the
    outputs. The precision delta of the prior maximises the evidence. Predictions are of the network's linearization.

    Source: Immer et al. 2021, "Improving predictions of Bayesian neural nets via local linearization" (its posterior
    and its predictive); MacKay 1992, "A Practical Bayesian Framework for Backpropagation Networks" (the evidence).
    """

    def fit(self, split: uci_data.Split, seed: int) -> None:
        """Trains a network on the training rows of a split, and measures the curvature there."""
        super().fit(split, seed)
        outputs, jacobians = self._linearization(split.x_train)
        self._directions, self._stddevs = posterior_of(
            weighted_by_fisher(jacobians, outputs, self._model.loss.df), self._weights()[0]
        )

    def predict(self, x: np.ndarray, seed: int) -> bnn.Predictive:
        """Returns the predictive distribution of standardised targets."""
        outputs, jacobians = self._linearization(x)
        normals = np.random.default_rng(seed).normal(size=(self._args.num_draws, len(self._stddevs)))
        offsets = normals * self._stddevs @ self._directions.T
        draws = outputs + np.einsum("nop,sp->sno", jacobians, offsets)
        return bnn.Predictive(draws.astype("float32"), self._model.loss)

    def _weights(self) -> tuple[np.ndarray, Any]:
        """Returns all weights as one vector, and the function that makes the variables' values of it."""
        return ravel_pytree([variable.value for variable in self._model.trainable_variables])

    def _linearization(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the outputs at the trained weights, [n, 2], and their derivatives, [n, 2, weights], in float64."""
        weights, unravel = self._weights()
        fixed = [variable.value for variable in self._model.non_trainable_variables]

        def outputs_of(weights: Any, row: Any) -> Any:
            return self._model.stateless_call(unravel(weights), fixed, row[None])[0][0]

        both = jax.jit(jax.vmap(lambda row: (outputs_of(weights, row), jax.jacrev(outputs_of)(weights, row))))(x)
        return tuple(np.asarray(part, "float64") for part in both)


def weighted_by_fisher(jacobians: np.ndarray, outputs: np.ndarray, df: float) -> np.ndarray:
    """Returns the rows whose outer products sum to `sum_n J_n^T F_n J_n`, [2 n, weights].

    Of Student's t with scale s, the information of loc is `(df + 1) / ((df + 3) s^2)`, that of s
    `2 df / ((df + 3) s^2)`, and s is `(x + sqrt(x^2 + 4)) / 2` of the second output x,
    but for the least scale.
    """
    raw = outputs[:, 1]
    scale = np.exp(np.arcsinh(raw / 2))
    slope = scale / np.sqrt(raw**2 + 4)
    information = np.stack([np.full_like(raw, df + 1), 2 * df * slope**2], axis=1) / ((df + 3) * scale[:, None] ** 2)
    return (jacobians * np.sqrt(information)[..., None]).reshape(-1, jacobians.shape[-1])


def posterior_of(rows: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the posterior's principal axes, [weights, weights], and the standard deviations along them."""
    curvatures, axes = np.linalg.eigh(rows.T @ rows)
    curvatures = np.maximum(curvatures, 0.0)

    def evidence(precision: float) -> float:
        return 0.5 * (np.log(precision / (curvatures + precision)).sum() - precision * np.square(weights).sum())

    precision = max(PRIOR_PRECISIONS, key=evidence)
    return axes, 1 / np.sqrt(curvatures + precision)
