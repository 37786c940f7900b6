"""What many drawn networks say together: the predictive distribution, its draws at hand."""

import numbers
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import scipy  # Its parts are imported when they are first used.

from tfp_bnn._checks import check_type
from tfp_bnn.likelihoods import Categorical, Likelihood
from tfp_bnn.prediction import quantiles
from tfp_bnn.prediction.base import BasePredictive
from tfp_bnn.prediction.columns import column
from tfp_bnn.prediction.positions import check_mask, targets_beside

Tensor = Any


class Predictive(BasePredictive):
    """The predictive distribution of n inputs: equal mixture of p(y | x, w) over draws of the weights w.

    Outputs may have positions, such as time steps or pixels. Then `n` stands for `n, positions` in all shapes below:
    `mean()` of outputs [draws, n, height, width, classes] is [n, height, width, classes], `entropy()` is
    [n, height, width]. Each position is predicted by itself; what else is asked of them together, the draws know.

    Args:
        outputs: the network's outputs, [draws, n, outputs] or [draws, n, positions, outputs].
        likelihood: what turns them into distributions.
        mask: which positions there are, bool [n, positions]; False for padding. `log_prob`, `decide`, `to_frame`,
            `as_rows` and what calibrates leave the others out. None: all. `predict` takes it from the model, such as
            of an `Embedding(mask_zero=True)`.

    Raises:
        ValueError: if `outputs` has another rank or holds no draw, if `likelihood` is not one of this package, or if
            the mask does not have the shape of the positions.

    Example:

    >>> from tfp_bnn import likelihoods
    >>> predictive = Predictive(np.zeros((50, 3, 2)), likelihoods.Categorical())
    >>> predictive.mean().shape, len(predictive[:2])
    ((3, 2), 2)
    """

    def __init__(self, outputs: np.ndarray, likelihood: Likelihood, mask: np.ndarray | None = None):
        outputs = np.asarray(outputs)
        if outputs.ndim < 3 or not len(outputs):
            raise ValueError(
                "`outputs` must be [draws, n, outputs], of a draw at least, with positions before the last axis where "
                f"there are. Received: outputs of shape {outputs.shape}"
            )
        self.outputs = outputs
        self.likelihood = check_type("likelihood", likelihood, Likelihood)
        self.mask = check_mask(mask, outputs.shape[1:-1])

    def __len__(self) -> int:
        return self.outputs.shape[1]

    def __getitem__(self, index: int | slice | np.ndarray) -> "Predictive":
        """Returns the predictive distribution of some of the inputs; one index gives one input."""
        if isinstance(index, numbers.Integral):
            index = np.arange(len(self))[index].reshape(1)
        return Predictive(self.outputs[:, index], self.likelihood, None if self.mask is None else self.mask[index])

    def __repr__(self) -> str:
        draws, inputs, *positions, _ = self.outputs.shape
        places = f" of {' x '.join(map(str, positions))} positions" if positions else ""
        return f"Predictive({draws} draws for {inputs} inputs{places}, {type(self.likelihood).__name__})"

    @property
    def shape_of_targets(self) -> tuple[int, ...]:
        """The shape [n] or [n, positions] of what is predicted."""
        return self.outputs.shape[1:-1]

    def as_rows(self) -> "Predictive":
        """Returns the predictive distribution with each position that is there as an input of its own: [m, outputs].

        What takes inputs [n] alone, such as the figures of `tfp_bnn.metrics` and most plots, takes these; their
        targets are those of `rows_of`.

        Example:

        >>> from tfp_bnn import likelihoods
        >>> mask = np.array([[True, True, False]])
        >>> predictive = Predictive(np.zeros((50, 1, 3, 2)), likelihoods.Categorical(), mask)
        >>> predictive.as_rows().mean().shape, predictive.rows_of(np.array([[0, 1, -1]]))
        ((2, 2), array([0, 1]))
        """
        outputs = self.outputs.reshape(len(self.outputs), -1, self.outputs.shape[-1])
        return Predictive(outputs if self.mask is None else outputs[:, self.mask.ravel()], self.likelihood)

    @property
    def draws(self) -> np.ndarray:
        """E[y | x, w] of each draw, [draws, n, d]; for classes, their probabilities."""
        return column(keras.ops.convert_to_numpy(self.likelihood.mean(self.outputs)))

    def mean(self) -> np.ndarray:
        """Returns E[y | x], [n, d]; for classes, their probabilities."""
        return column(self.draws.mean(axis=0))

    def log_prob(self, y: np.ndarray) -> np.ndarray:
        """Returns the held-out nats `log (1/S) sum_s p(y | x, w_s)`, [n].

        Of positions each by itself, [n, positions]; 0 where a mask says that there is none.

        Args:
            y: labels or targets of the n inputs, [n] or [n, d]. What stands where a mask is False is not looked at.

        Raises:
            ValueError: if there are not n rows of d, or if the likelihood does not allow one of them.

        Example:

        >>> from tfp_bnn import likelihoods
        >>> outputs = np.log([[[0.9, 0.1]], [[0.1, 0.9]]])  # two draws that disagree
        >>> Predictive(outputs, likelihoods.Categorical()).log_prob([0]).round(3)  # log 0.5
        array([-0.693])
        """
        y = targets_beside(self.likelihood, self.outputs, y, self.mask)
        log_probs = keras.ops.convert_to_numpy(self.likelihood.log_prob(self.outputs, y[np.newaxis]))
        log_prob = scipy.special.logsumexp(log_probs, axis=0) - np.log(len(self.outputs))
        return log_prob if self.mask is None else np.where(self.mask, log_prob, 0.0)

    def entropy(self) -> np.ndarray:
        """Returns the entropy of the predictive distribution in nats, [n]: aleatoric and epistemic together.

        Raises:
            ValueError: if it has no closed form: of the package's likelihoods `Categorical` has, and `Bernoulli` of one
                target.

        Example:

        >>> from tfp_bnn import likelihoods
        >>> outputs = np.log([[[0.9, 0.1]], [[0.1, 0.9]]])  # two draws that disagree
        >>> predictive = Predictive(outputs, likelihoods.Categorical())
        >>> [float(part[0].round(3)) for part in (predictive.expected_entropy(), predictive.mutual_information())]
        [0.325, 0.368]
        """
        return keras.ops.convert_to_numpy(self.likelihood.predictive_entropy(self.outputs))

    def expected_entropy(self) -> np.ndarray:
        """Returns the mean over draws of the entropy of p(y | x, w) in nats, [n]: the aleatoric part.

        Raises:
            ValueError: if that entropy has no closed form.
        """
        return keras.ops.convert_to_numpy(self.likelihood.entropy(self.outputs)).mean(axis=0)

    def epistemic_stddev(self) -> np.ndarray:
        """Returns the standard deviation over draws of E[y | x, w], [n, d]."""
        return column(np.asarray(self.draws).std(axis=0))

    def aleatoric_stddev(self) -> np.ndarray:
        """Returns the root of the mean over draws of Var[y | x, w], [n, d].

        The squares of both standard deviations add up to Var[y | x], by the law of total variance.
        """
        return column(np.sqrt(keras.ops.convert_to_numpy(self.likelihood.variance(self.outputs)).mean(axis=0)))

    def quantiles(self, probabilities: Sequence[float]) -> np.ndarray:
        """Returns the quantiles of the predictive distribution of each target, float64 [probabilities, n, d].

        Of real targets and of counts; `quantiles((0.025, 0.975))` are the ends of the central 95 % interval. The
        p-quantile of counts is the least count that is not exceeded with probability p or more.

        Args:
            probabilities: between 0 and 1.

        Raises:
            ValueError: if the likelihood has no quantiles, as those of classes, or a probability is out of range.

        Example:

        >>> from tfp_bnn import likelihoods
        >>> predictive = Predictive(np.zeros((50, 1, 1)), likelihoods.Normal(scale=1.0))
        >>> predictive.quantiles((0.025, 0.975)).ravel().round(2).tolist()
        [-1.96, 1.96]
        """
        return column(quantiles.quantiles(self.outputs, self.likelihood, probabilities))

    def distribution(self) -> Any:
        """Returns the predictive distribution as a TFP distribution."""
        return self.likelihood.predictive_distribution(keras.ops.convert_to_tensor(self.outputs))

    def predicts_classes(self) -> bool:
        """Returns whether y is one of several classes, or one yes or no."""
        return self.likelihood.predicts_classes(self.outputs.shape[-1])

    def as_classes(self) -> "Predictive":
        """Returns the predictive distribution with a `Categorical` likelihood, for what asks for class probabilities.

        Of `Bernoulli` with one target these are two: class 0, no, and class 1, yes.

        Raises:
            ValueError: if the likelihood is neither.

        Example:

        >>> from tfp_bnn import likelihoods
        >>> predictive = Predictive(np.log([[[4.0]]]), likelihoods.Bernoulli())  # odds of 4 to 1
        >>> predictive.as_classes().mean().round(3).tolist()
        [[0.2, 0.8]]
        """
        self.check_classes()
        logits = keras.ops.convert_to_numpy(self.likelihood.class_logits(self.outputs))
        return Predictive(logits, Categorical(), self.mask)

    def at_temperature(self, temperature: float) -> "Predictive":
        """Returns the predictive distribution with every draw's logits divided by a temperature.

        Args:
            temperature: positive; above 1 every draw is less sure. See `tfp_bnn.calibrate_temperature`.

        Raises:
            ValueError: if the likelihood is not one of classes or has no logits (see `as_classes`), or if the
                temperature is not positive and finite.

        Example:

        >>> from tfp_bnn import likelihoods
        >>> predictive = Predictive(np.log([[[0.8, 0.2]]]), likelihoods.Categorical())  # odds of 4 to 1
        >>> predictive.at_temperature(2.0).mean().round(3).tolist()  # 2 to 1
        [[0.667, 0.333]]
        """
        self.check_classes()
        if not 0 < temperature < np.inf:
            raise ValueError(f"`temperature` must be positive and finite. Received: temperature={temperature}")
        return Predictive(*self.likelihood.at_temperature(self.outputs, temperature), self.mask)


def check_classes_of(name: str, predictive: Any) -> Predictive:
    """Returns an argument that is a Predictive of classes; raises ValueError otherwise."""
    if isinstance(predictive, Predictive) and predictive.predicts_classes():
        return predictive
    raise ValueError(
        f"`{name}` must be a Predictive of classes: of a Categorical likelihood, or Bernoulli of one target. "
        f"Received: {predictive!r}"
    )


def check_no_positions(name: str, predictive: Any, why: str = "Take each position as a row: `as_rows()`.") -> None:
    """Raises ValueError if a predictive distribution is of positions; says why, or what to do."""
    if len(predictive.shape_of_targets) > 1:
        raise ValueError(f"`{name}` must be of outputs [n, outputs], without positions. {why} Received: {predictive!r}")
