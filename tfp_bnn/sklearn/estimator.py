"""What the regressor and the classifier have in common: a network that is made and trained in `fit`."""

from typing import Any, Self

import keras
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from tfp_bnn._checks import check_count
from tfp_bnn.models.tabular import Tabular, tabular
from tfp_bnn.prediction.batch_sizes import filled_up
from tfp_bnn.prediction.predict import predict
from tfp_bnn.prediction.predictive import Predictive
from tfp_bnn.sklearn.random_state import random_numbers_of
from tfp_bnn.sklearn.weights import check_weights

_BLOCK = 64
_SEEDS = 2**31 - 1


class BayesianEstimator(BaseEstimator):
    """Abstract base: a subclass has the arguments of its network, checks its targets and says what it predicts.

    Attributes:
        model_: the trained network, a `tfp_bnn.models.Tabular`.
        history_: by name, the figures of the training, such as `nll` and `kl`, one for each epoch.
        n_iter_: how many steps the optimizer took.
        n_features_in_, feature_names_in_: how many columns there were, and their names where these were strings.
    """

    model_: Tabular
    history_: dict[str, list[float]]
    n_iter_: int
    n_features_in_: int

    def _train(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None, **arguments: Any) -> Self:
        """Makes the network and trains it.

        Args:
            x: inputs, [n, features].
            y: targets or labels, of n rows.
            weights: of the rows, or None.
            **arguments: of `tabular`, beside those that both estimators have.
        """
        for name in ("steps", "batch_size", "num_draws"):
            check_count(name, getattr(self, name))
        random_state = check_random_state(self.random_state)
        self._seed_of_draws = int(random_state.randint(_SEEDS))
        with random_numbers_of(int(random_state.randint(_SEEDS))):
            model = tabular(
                x.shape[1],
                units=self.units,
                # The estimator's own stays as it is, however often it is fitted.
                prior=None if self.prior is None else type(self.prior).from_config(self.prior.get_config()),
                initial_stddev=self.initial_stddev,
                **arguments,
            )
            history = model.fit(
                x,
                y,
                self.batch_size,
                verbose="auto" if self.verbose else 0,
                steps=self.steps,
                learning_rate=self.learning_rate,
                sample_weight=weights,
            )
        self.model_ = model
        self.history_ = {name: [float(value) for value in values] for name, values in history.history.items()}
        self.n_iter_ = int(keras.ops.add(model.optimizer.iterations, 0))
        return self

    def predictive(self, X: Any) -> Predictive:
        """Returns the predictive distribution of rows: all that `tfp_bnn.predict` gives, in units of the targets.

        Args:
            X: inputs, [n, features].

        Returns:
            The `tfp_bnn.Predictive`, of `num_draws` networks; the same ones each time.

        Raises:
            ValueError: if `X` does not have the columns of the training data, or holds what is not finite.
            sklearn.exceptions.NotFittedError: before `fit`.
        """
        predictive, num_rows = self._predictive_of_blocks(X)
        return predictive[:num_rows]

    def _predictive_of_blocks(self, X: Any) -> tuple[Predictive, int]:
        """Returns the predictive distribution of rows filled up to whole blocks, and how many are not filled in.

        In blocks of one size a row's figures are the same to the last digit, whichever rows are beside it.
        """
        check_is_fitted(self)
        x = validate_data(self, X, dtype="float32", reset=False)
        blocks = filled_up(x, -(-len(x) // _BLOCK) * _BLOCK)
        verbose = bool(self.verbose)
        return predict(self.model_, blocks, self.num_draws, seed=self._seed_of_draws, verbose=verbose), len(x)


def with_weight(x: np.ndarray, y: np.ndarray, sample_weight: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Returns inputs, targets and weights of the rows whose weight is not 0; those of weight 0 are not observations."""
    if sample_weight is None:
        return x, y, None
    weights = check_weights(sample_weight, len(x))
    counts = weights > 0
    return x[counts], y[counts], weights[counts]
