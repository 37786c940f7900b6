"""What follows from moments and entropies of a predictive distribution, whether its draws are at hand or not."""

import abc
from typing import TYPE_CHECKING

import keras
import numpy as np

from tfp_bnn.likelihoods import Likelihood
from tfp_bnn.prediction import decisions, tables
from tfp_bnn.prediction.columns import column

if TYPE_CHECKING:
    import pandas as pd


class BasePredictive(abc.ABC):
    """The predictive distribution of n inputs: what `Predictive` and `PredictiveSummary` have in common."""

    likelihood: Likelihood
    mask: np.ndarray | None
    """Which positions there are, bool [n, positions]; None if all, or if there are no positions."""

    @property
    @abc.abstractmethod
    def shape_of_targets(self) -> tuple[int, ...]:
        """The shape [n] or [n, positions] of what is predicted."""

    def rows_of(self, values: np.ndarray) -> np.ndarray:
        """Returns numbers or targets of the positions that are there, [m], of [n, positions]; more axes stay behind.

        Raises:
            ValueError: if their shape does not begin with that of the positions.
        """
        values, shape = np.asarray(values), self.shape_of_targets
        if values.shape[: len(shape)] != shape:
            raise ValueError(
                f"Expected values of shape {shape}, or with more axes behind. Received: shape {values.shape}"
            )
        rows = values.reshape(-1, *values.shape[len(shape) :])
        return rows if self.mask is None else rows[self.mask.ravel()]

    @abc.abstractmethod
    def mean(self) -> np.ndarray:
        """Returns E[y | x], [n, d]; for classes, their probabilities."""

    @abc.abstractmethod
    def entropy(self) -> np.ndarray:
        """Returns the entropy of the predictive distribution in nats, [n]: aleatoric and epistemic together."""

    @abc.abstractmethod
    def expected_entropy(self) -> np.ndarray:
        """Returns the mean over draws of the entropy of p(y | x, w) in nats, [n]: the aleatoric part."""

    @abc.abstractmethod
    def epistemic_stddev(self) -> np.ndarray:
        """Returns the standard deviation over draws of E[y | x, w], [n, d]."""

    @abc.abstractmethod
    def aleatoric_stddev(self) -> np.ndarray:
        """Returns the root of the mean over draws of Var[y | x, w], [n, d]."""

    def mutual_information(self) -> np.ndarray:
        """Returns the mutual information of y and the weights in nats, [n]: the epistemic part.

        It is what is left of the entropy when the expected entropy is taken away.

        Source: Houlsby et al. 2011, "Bayesian Active Learning for Classification and Preference Learning", equation 2.
        """
        return np.maximum(self.entropy() - self.expected_entropy(), 0.0)

    def stddev(self) -> np.ndarray:
        """Returns the standard deviation of y given x, [n, d]: epistemic and aleatoric together.

        It is the root of `Var_w E[y | x, w] + E_w Var[y | x, w]`, the law of total variance.
        """
        return column(np.hypot(self.epistemic_stddev(), self.aleatoric_stddev()))

    @abc.abstractmethod
    def predicts_classes(self) -> bool:
        """Returns whether y is one of several classes, or one yes or no."""

    def check_classes(self) -> None:
        """Raises ValueError if y is neither one of several classes nor one yes or no."""
        if not self.predicts_classes():
            raise ValueError(
                f"Classes are predicted by a Categorical likelihood, or Bernoulli of one target. Received: {self!r}"
            )

    def class_probabilities(self) -> np.ndarray:
        """Returns the probabilities of the classes, [n, classes]; of one yes-or-no target, those of no and of yes.

        Whatever decides, calibrates or draws computes them here, so that all agree to the last digit.

        Raises:
            ValueError: if y is neither.
        """
        self.check_classes()
        return keras.ops.convert_to_numpy(self.likelihood.class_probabilities(np.asarray(self.mean())))

    def decide(
        self,
        *,
        cutoff: float | None = None,
        coverage: float | None = None,
        entropy: float | None = None,
        abstain: int = -1,
    ) -> np.ndarray:
        """Returns the likeliest class of each input, or `abstain` where the network is not sure, integers [n].

        What "sure" means is given by exactly one of `cutoff`, `coverage` and `entropy`. Of positions each is decided,
        [n, positions]; where a mask says that there is none, it is `abstain`.

        Args:
            cutoff: least probability of the likeliest class. See `tfp_bnn.calibrate_cutoff`.
            coverage: share of these inputs, or positions, that are classified, the surest ones. One whose
                probabilities are not numbers is never sure; it counts all the same.
            entropy: greatest predictive entropy in nats.
            abstain: what stands for "I do not know"; none of the classes.

        Raises:
            ValueError: if none or several of the three are given, one is out of range, `abstain` is a class, or the
                likelihood is not one of classes: `Categorical`, or `Bernoulli` of one target.

        Example:

        >>> from tfp_bnn import Predictive, likelihoods
        >>> outputs = np.tile([[3.0, 0.0], [0.2, 0.0]], (50, 1, 1))
        >>> Predictive(outputs, likelihoods.Categorical()).decide(cutoff=0.9)
        array([ 0, -1])
        """
        rows, entropies = map(self.rows_of, (self.class_probabilities(), self.entropy()))
        decided = decisions.decide(rows, entropies, cutoff, coverage, entropy, abstain)
        if self.mask is None:
            return decided.reshape(self.shape_of_targets)
        labels = np.full(self.shape_of_targets, abstain)
        labels[self.mask] = decided
        return labels

    def to_frame(self) -> "pd.DataFrame":
        """Returns a table with one row an input.

        Of classes, and of one yes-or-no target: `label`, the likeliest one, and its `probability`; `entropy` and its
        two parts, `expected_entropy` (aleatoric) and `mutual_information` (epistemic), in nats; and `p_0`, `p_1`, ...
        Of other targets: `mean`, `stddev` and its two parts, `epistemic_stddev` and `aleatoric_stddev`, with `_0`,
        `_1`, ... behind each if there are several targets. Of positions it has a row for each that is there, and says
        which in `input` and `position` (`position_0`, `position_1`, ... if these have several axes).

        Example:

        >>> from tfp_bnn import Predictive, likelihoods
        >>> predictive = Predictive(np.array([[[1.0]], [[7.0]]]), likelihoods.Normal(scale=4.0))
        >>> predictive.to_frame().to_dict("records")
        [{'mean': 4.0, 'stddev': 5.0, 'epistemic_stddev': 3.0, 'aleatoric_stddev': 4.0}]
        """
        places = tables.places(self.rows_of(np.moveaxis(np.indices(self.shape_of_targets), 0, -1)))

        def rows(**kinds: np.ndarray) -> dict[str, np.ndarray]:
            return {name: self.rows_of(values) for name, values in kinds.items()}

        if not self.predicts_classes():
            parts = {"epistemic_stddev": self.epistemic_stddev(), "aleatoric_stddev": self.aleatoric_stddev()}
            return tables.of_targets(rows(mean=self.mean(), stddev=self.stddev(), **parts), places)
        parts = {"expected_entropy": self.expected_entropy(), "mutual_information": self.mutual_information()}
        probabilities = self.rows_of(self.class_probabilities())
        return tables.of_classes(probabilities, rows(entropy=self.entropy(), **parts), places)
