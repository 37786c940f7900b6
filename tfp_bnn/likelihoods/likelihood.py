"""What all likelihoods p(y | x, w) have: each is a Keras loss and a TFP distribution in one.

The loss of an example is `-log p(y | outputs)` in nats, summed over the dimensions of y; Keras takes the mean over the
batch, the first half of the negative ELBO.
"""

import abc
import functools
import math
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np

from tfp_bnn._backend import tfp
from tfp_bnn._numerics.inverse_cdf import Cdf

Tensor = Any


class Likelihood(keras.losses.Loss, abc.ABC):
    """A likelihood over y, given a network's outputs. All methods take outputs of any leading shape.

    A likelihood of your own is a subclass. Its `log_prob` is compiled, so it is made of `keras.ops`; all else may be
    made of NumPy. What it does not define is an error where it is needed, and nowhere else.

    | It defines                                        | and has                                                |
    | ------------------------------------------------- | ------------------------------------------------------ |
    | `num_targets`, `log_prob`, `mean` and `variance`  | `fit`, `predict`, `summarize`, `evaluate`: it must     |
    | `target_kind`, if its targets are not real        | quantiles that are counts; what is for its kind alone  |
    | `cdf` and `quantile`                              | `Predictive.quantiles`, of real targets and of counts  |
    | `entropy`                                         | `expected_entropy`                                     |
    | `entropy_of_mean`                                 | `entropy` and `mutual_information`, of classes         |
    | `predictive_entropy`, if the mean does not say it | those of a `Predictive` alone                          |
    | `distribution`                                    | `Predictive.distribution`, in TFP                      |
    | `predicts_classes` and `class_probabilities`      | accuracy, decisions, cut-offs, and figures of classes  |
    | `class_logits`                                    | `Predictive.as_classes`, whose draws have temperatures |
    | `get_config`, if its constructor takes more       | files, once Keras knows the class                      |
    | `check_targets`, `check_scale`, `check_model`, .. | errors and warnings of its own                         |

    `IndependentLikelihood` leaves less to define where the targets are independent, `CountLikelihood` where they are
    counts, and `LocationScale` where noise of one shape is moved and stretched.
    """

    target_kind: Literal["real", "counts", "yes or no", "classes"] = "real"
    """What each target is: a real number, a count 0, 1, 2, ..., yes or no as 1 or 0, or the label of a class."""

    _targets_expected = "Targets must be finite."

    def __init__(self, name: str = "nll", reduction: str = "sum_over_batch_size", **kwargs: Any):
        super().__init__(name=name, reduction=reduction, **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Returns `-log p(y_true | y_pred)` in nats for each example: what `compile(loss=...)` minimises.

        Args:
            y_true: labels or targets, a row of them for each position of the outputs.
            y_pred: outputs of the network, [n, outputs] or with positions between, [n, time, outputs].

        Raises:
            ValueError: if the targets do not lie beside the outputs, or as `check_outputs` does.
        """
        self.check_outputs(y_pred)
        return -self.log_prob(y_pred, self.rows_of_targets(y_true, np.shape(y_pred)))

    @abc.abstractmethod
    def log_prob(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Returns log p(y | outputs) in nats, one number an example.

        Args:
            outputs: the network's, [..., n, outputs].
            y: labels or targets of the last positions of the outputs' leading shape, the same for all before: of
                outputs [draws, n, outputs], those of n inputs. A row for each, as `rows_of_targets` gives them, is
                never taken for anything else; the package gives such rows, with an axis of one for the draws.
        """

    @abc.abstractmethod
    def num_targets(self, num_outputs: int) -> int:
        """Returns how many targets each row of so many outputs predicts; raises ValueError if it cannot be."""

    def rows_of_targets(self, y: Tensor, shape_of_outputs: Sequence[int | None]) -> Tensor:
        """Returns a row of targets for each row of outputs: [..., targets] beside outputs [..., outputs].

        One target may come without its axis, [n] or [n, time]. Sizes that are not known yet fit.

        Args:
            y: labels or targets, an array or a tensor.
            shape_of_outputs: of the outputs, without draws.

        Raises:
            ValueError: if the targets do not lie beside the outputs.
        """
        *leading, num_outputs = shape_of_outputs
        targets = self.num_targets(num_outputs)
        # Targets [n] beside outputs [n, 1] would broadcast to [n, n].
        shape = np.shape(y)
        if getattr(shape, "rank", 0) is None:
            # TensorFlow forgets the rank of targets that come in several; their number still has to be right.
            return keras.ops.reshape(y, (-1, *leading[1:], targets))
        if _fits(shape, (*leading, targets)):
            return y
        if targets == 1 and _fits(shape, leading):
            return keras.ops.expand_dims(y, -1) if keras.ops.is_tensor(y) else np.expand_dims(y, -1)
        sizes = ", ".join("n" if size is None else str(size) for size in leading)
        expected = [f"[{sizes}]"] * (targets == 1) + [f"[{sizes}, {targets}]"]
        raise ValueError(
            f"{type(self).__name__} expects targets of shape {' or '.join(expected)} beside outputs of shape "
            f"{tuple(shape_of_outputs)}.{self._targets_hint} Received: targets of shape {tuple(shape)}"
        )

    def _rows_beside(self, y: Tensor, shape_of_outputs: Sequence[int | None]) -> Tensor:
        """Returns rows of targets as `rows_of_targets` does, of targets that may lack leading axes, such as draws."""
        rank = len(y.shape)
        if rank == len(shape_of_outputs) and _fits(y.shape[-1:], (self.num_targets(shape_of_outputs[-1]),)):
            return y
        without_axis = rank == 1 or not _fits(y.shape[:-1], shape_of_outputs[-rank:-1])
        return self.rows_of_targets(y, shape_of_outputs[-rank - without_axis :])

    _targets_hint = ""
    """What to do with targets of another shape."""

    def check_outputs(self, outputs: Tensor) -> None:
        """Raises ValueError if a network's outputs are seen not to be this likelihood's parameters."""

    def check_model(self, model: keras.Model) -> None:
        """Raises ValueError if a model is seen not to give this likelihood's parameters."""

    def check_drawn_outputs(self, outputs: np.ndarray) -> None:
        """Raises ValueError if drawn outputs, [draws, n, outputs], are seen not to be this likelihood's parameters."""

    def check_scale(self, stddev: np.ndarray | float) -> None:
        """Warns if targets of this standard deviation need to be standardized: where the likelihood has a scale."""

    def check_targets(self, outputs: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Returns `y`; raises ValueError if a target cannot be had. Takes NumPy arrays."""
        with np.errstate(invalid="ignore"):
            allowed = self._allowed(y)
        if not allowed.all():
            raise ValueError(f"{self._targets_expected} Received: {y[~allowed].flat[0]}")
        return y

    def _allowed(self, y: Tensor) -> Tensor:
        """Returns where a target can be had. Operators alone, so that it takes arrays and tensors."""
        return abs(y) < math.inf

    @abc.abstractmethod
    def mean(self, outputs: Tensor) -> Tensor:
        """Returns E[y | outputs]; for classes, their probabilities."""

    @abc.abstractmethod
    def variance(self, outputs: Tensor) -> Tensor:
        """Returns Var[y | outputs], elementwise: what no better knowledge of the weights can take away."""

    def cdf(self, outputs: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Returns P(Y <= y | outputs) of each target, float64 [..., n, targets].

        Args:
            outputs: the network's, [..., n, outputs], an array.
            y: where, [n, targets]; the same for all draws.

        Raises:
            ValueError: if it is not defined, as of classes.
        """
        raise self._not_defined("cdf")

    def cdf_given(self, outputs: np.ndarray) -> Cdf:
        """Returns the function from y to `cdf(outputs, y)`, for many y: what is done once may be done here."""
        return functools.partial(self.cdf, outputs)

    def quantile(self, outputs: np.ndarray, probability: float) -> np.ndarray:
        """Returns the quantile of each target, float64 [..., n, targets]; of counts the least y with `cdf(y) >= p`.

        Raises:
            ValueError: if it is not defined, as of classes.
        """
        raise self._not_defined("quantile")

    def quantile_bounds(self, outputs: np.ndarray, probability: float) -> tuple[np.ndarray, np.ndarray]:
        """Returns two arrays between which the quantiles lie, such as these twice; they are where a search starts."""
        quantile = self.quantile(outputs, probability)
        return quantile, quantile

    @property
    def has_entropy(self) -> bool:
        """Whether `entropy` is defined: not every likelihood has one in closed form."""
        return type(self).entropy is not Likelihood.entropy

    def entropy(self, outputs: Tensor) -> Tensor:
        """Returns the entropy of p(y | outputs) in nats, one number an example.

        Raises:
            ValueError: if it has no closed form.
        """
        raise self._no_closed_form("")

    def predictive_entropy(self, draws: Tensor) -> Tensor:
        """Returns the entropy of the mean over weight draws of p(y | outputs) in nats, one number an example.

        Raises:
            ValueError: if it has no closed form.
        """
        return self.entropy_of_mean(keras.ops.mean(self.mean(draws), axis=0))

    def entropy_of_mean(self, mean: Tensor) -> Tensor:
        """Returns the entropy in nats of the predictive distribution of this mean, E[y], one number an example.

        Raises:
            ValueError: if the mean of this likelihood's predictive distribution does not say its entropy.
        """
        raise self._no_closed_form("a mixture of ")

    def predicts_classes(self, num_outputs: int) -> bool:
        """Returns whether networks with so many outputs predict one of several classes, or one yes or no."""
        return False

    def class_logits(self, outputs: Tensor) -> Tensor:
        """Returns logits [..., n, classes] whose softmax are the classes' probabilities, if it predicts classes."""
        raise self._not_defined("class_logits")

    def class_probabilities(self, mean: np.ndarray) -> np.ndarray:
        """Returns the probabilities [n, classes] of the predictive distribution of this mean, if it is of classes."""
        raise self._not_defined("class_probabilities")

    def at_temperature(self, outputs: np.ndarray, temperature: float) -> "tuple[np.ndarray, Likelihood]":
        """Returns the logits of the classes divided by a temperature, and the likelihood that takes them.

        Raises:
            ValueError: if the likelihood has no logits itself.
        """
        raise ValueError(
            f"Only logits have a temperature: take `as_classes()` first. Received: likelihood={type(self).__name__}"
        )

    def distribution(self, outputs: Tensor) -> Any:
        """Returns p(y | outputs) as a TFP distribution."""
        raise self._not_defined("distribution")

    def predictive_distribution(self, draws: Tensor) -> Any:
        """Returns the mean over weight draws, [draws, ..., n, outputs], of p(y | outputs) as a TFP distribution."""
        draws = keras.ops.moveaxis(draws, 0, -2)
        logits = keras.ops.zeros(draws.shape[:-1], draws.dtype)
        tfd = tfp.distributions(draws)
        return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), self.distribution(draws))

    def _no_closed_form(self, of: str) -> ValueError:
        name = type(self).__name__
        return ValueError(
            f"The entropy of {of}{name} distributions has no closed form; see `epistemic_stddev` and "
            f"`aleatoric_stddev`. Received: likelihood={name}"
        )

    def _not_defined(self, method: str) -> ValueError:
        name = type(self).__name__
        return ValueError(f"`{method}` is not defined by this likelihood. Received: likelihood={name}")


def _fits(shape: Sequence[int | None], expected: Sequence[int | None]) -> bool:
    if len(shape) != len(expected):
        return False
    return all(size is None or wanted is None or size == wanted for size, wanted in zip(shape, expected, strict=True))
