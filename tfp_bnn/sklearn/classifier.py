"""Classes with their probabilities, predicted from a table."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d, validate_data

from tfp_bnn import priors
from tfp_bnn.models.tabular import BATCH_SIZE, LEARNING_RATE, STEPS
from tfp_bnn.sklearn.estimator import BayesianEstimator, with_weight


class BayesianClassifier(ClassifierMixin, BayesianEstimator):
    """A Bayesian network that predicts one of several classes from a table, with probabilities.

    It is `tfp_bnn.models.tabular` as an estimator of scikit-learn: it standardizes inputs itself and needs nothing but
    `fit(X, y)`. Labels may be numbers or strings. It takes numbers as inputs, none of them missing: put a
    `SimpleImputer(add_indicator=True)` or a `OneHotEncoder(sparse_output=False)` before it.

    A `sample_weight` multiplies the log-likelihood of a row: weight 2 is as two such rows, and weight 0 as none. So
    weights whose mean is 1 leave the data as many as they are; larger ones make the network surer.

    Args:
        units: widths of the hidden layers.
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
        classes_: the labels, sorted: the columns of `predict_proba`.
        model_: the trained network, a `tfp_bnn.models.Tabular`: to be saved, exported, pruned.
        history_: by name, the figures of the training, such as `nll` and `kl`, one for each epoch.
        n_iter_: how many steps the optimizer took.
        n_features_in_, feature_names_in_: how many columns there were, and their names where these were strings.

    Example:

    >>> from tfp_bnn.sklearn import BayesianClassifier
    >>> x = np.linspace(0, 10, 50)[:, np.newaxis]
    >>> model = BayesianClassifier(steps=30, random_state=0).fit(x, np.where(x[:, 0] > 5, "large", "small"))
    >>> model.predict_proba(x).shape, model.classes_.tolist()
    ((50, 2), ['large', 'small'])
    """

    def __init__(
        self,
        *,
        units: Sequence[int] = (50,),
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
            y: labels, [n], numbers or strings.
            sample_weight: by what the log-likelihood of each row counts, [n], at least 0; None for 1.

        Returns:
            The estimator.

        Raises:
            ValueError: if an argument is out of range, shapes do not fit, an input is not finite, or there is one class
                alone.
        """
        x, y = validate_data(self, X, y, dtype="float32")
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        x, y, weights = with_weight(x, y, sample_weight)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                "A classifier needs rows of two classes at least, of weights that are not 0. Received: one class, "
                f"{self.classes_[0]}"
            )
        return self._train(x, labels, weights, num_classes=len(self.classes_))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Returns the probabilities of the classes, [n, classes], in the order of `classes_`.

        Args:
            X: inputs, [n, features].

        Raises:
            ValueError: as `predictive` does.
        """
        predictive, num_rows = self._predictive_of_blocks(X)
        probabilities = np.asarray(predictive.mean(), "float64")[:num_rows]
        return probabilities / probabilities.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """Returns the likeliest class of each row, [n].

        Args:
            X: inputs, [n, features].

        Raises:
            ValueError: as `predictive` does.
        """
        likeliest = self.predict_proba(X).argmax(axis=1)
        return self.classes_[likeliest]
