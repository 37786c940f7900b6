"""Numbers with their uncertainty, predicted from a table."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import validate_data

from tfp_bnn import priors
from tfp_bnn.models.tabular import BATCH_SIZE, LEARNING_RATE, STEPS
from tfp_bnn.sklearn.estimator import BayesianEstimator, with_weight


class BayesianRegressor(MultiOutputMixin, RegressorMixin, BayesianEstimator):
    """A Bayesian network that predicts one number or several from a table, and how sure it is.

    It is `tfp_bnn.models.tabular` as an estimator of scikit-learn: it standardizes inputs and targets itself, learns a
    noise that may differ from row to row, and needs nothing but `fit(X, y)`. It takes numbers, none of them missing:
    put a `SimpleImputer(add_indicator=True)` or a `OneHotEncoder(sparse_output=False)` before it.

    A `sample_weight` multiplies the log-likelihood of a row: weight 2 is as two such rows, and weight 0 as none. So
    weights whose mean is 1 leave the data as many as they are; larger ones make the network surer.

    Args:
        units: widths of the hidden layers.
        noise: "normal", "student_t" (which bounds what outliers cost) or "laplace".
        prior: a `tfp_bnn.priors.Prior` of all weights, which each `fit` copies; None for a learned `ScaleMixture`.
        initial_stddev: posterior standard deviation at the start.
        steps: about how many steps the optimizer takes; `n_iter_` says how many.
        batch_size: rows of a step; all rows if there are fewer.
        learning_rate: of Adam at the start; it falls to 0 along a cosine.
        num_draws: how many networks are drawn for a prediction.
        random_state: integer that makes `fit` and all predictions repeatable, or a NumPy `RandomState`; None draws one.
            A fitted estimator predicts the same each time.
        verbose: whether progress bars appear.

    Attributes:
        model_: the trained network, a `tfp_bnn.models.Tabular`: to be saved, exported, pruned.
        history_: by name, the figures of the training, such as `nll` and `kl`, one for each epoch.
        n_iter_: how many steps the optimizer took.
        n_features_in_, feature_names_in_: how many columns there were, and their names where these were strings.

    Example:

    >>> from tfp_bnn.sklearn import BayesianRegressor
    >>> x = np.linspace(0, 10, 50)[:, np.newaxis]
    >>> model = BayesianRegressor(steps=30, random_state=0).fit(x, 1000 + 5 * x[:, 0])
    >>> mean, stddev = model.predict(x, return_std=True)
    >>> model.predict_interval(x, level=0.9).shape
    (50, 2)
    """

    def __init__(
        self,
        *,
        units: Sequence[int] = (50,),
        noise: str = "student_t",
        prior: priors.Prior | None = None,
        initial_stddev: float = 0.02,
        steps: int = STEPS,
        batch_size: int = BATCH_SIZE,
        learning_rate: float = LEARNING_RATE,
        num_draws: int = 50,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ):
        self.units = units
        self.noise = noise
        self.prior = prior
        self.initial_stddev = initial_stddev
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.num_draws = num_draws
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Trains a network on a table.

        Args:
            X: inputs, [n, features].
            y: targets, [n] or [n, targets], in any units.
            sample_weight: by what the log-likelihood of each row counts, [n], at least 0; None for 1.

        Returns:
            The estimator.

        Raises:
            ValueError: if an argument is out of range, shapes do not fit, or a number is not finite.
        """
        x, y = validate_data(self, X, y, dtype="float32", multi_output=True, y_numeric=True)
        self._is_vector = y.ndim == 1
        x, y, weights = with_weight(x, y, sample_weight)
        return self._train(x, y, weights, num_targets=1 if self._is_vector else y.shape[1], noise=self.noise)

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Returns the means of rows, and if asked their standard deviations.

        Args:
            X: inputs, [n, features].
            return_std: whether to return the standard deviation of y given x too, the noise of the data (aleatoric)
                and what the network does not know (epistemic) together.

        Returns:
            The means, shaped as the targets of `fit`; with `return_std`, (means, standard deviations).

        Raises:
            ValueError: as `predictive` does.
        """
        predictive, num_rows = self._predictive_of_blocks(X)
        mean = self._shaped(predictive.mean())[:num_rows]
        return (mean, self._shaped(predictive.stddev())[:num_rows]) if return_std else mean

    def predict_interval(self, X: Any, level: float = 0.9) -> np.ndarray:
        """Returns the central interval that holds y with a probability, equal tails on both sides.

        Args:
            X: inputs, [n, features].
            level: the probability, between 0 and 1.

        Returns:
            Lower and upper ends, [n, 2]; of several targets [n, targets, 2].

        Raises:
            ValueError: if the level is out of range, or as `predictive` does.
        """
        if not 0 < level < 1:
            raise ValueError(f"`level` must be between 0 and 1. Received: level={level}")
        return self.predict_quantiles(X, ((1 - level) / 2, (1 + level) / 2))

    def predict_quantiles(self, X: Any, probabilities: Sequence[float]) -> np.ndarray:
        """Returns quantiles of y given x.

        Args:
            X: inputs, [n, features].
            probabilities: between 0 and 1.

        Returns:
            The quantiles, [n, probabilities]; of several targets [n, targets, probabilities].

        Raises:
            ValueError: if a probability is out of range, or as `predictive` does.
        """
        quantiles = np.asarray(self.predictive(X).quantiles(probabilities))
        return np.moveaxis(quantiles[..., 0] if self._is_vector else quantiles, 0, -1)

    def _shaped(self, values: np.ndarray) -> np.ndarray:
        values = np.asarray(values, "float64")
        return values[:, 0] if self._is_vector else values
