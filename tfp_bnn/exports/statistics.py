"""What an exported file puts out: statistics over draws, made of `keras.ops` alone."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from tfp_bnn._numerics.precision import widened
from tfp_bnn.likelihoods import Categorical, Likelihood

Tensor = Any

DECISION = "decision"
OF_CLASSES = ("probabilities", "entropy", "expected_entropy", "mutual_information")
OF_TARGETS = ("mean", "stddev", "epistemic_stddev", "aleatoric_stddev")


class Decision(NamedTuple):
    """A classifier's rule: the likeliest class, or `abstain` where its probability is below `cutoff`."""

    cutoff: float
    abstain: int


class Statistics:
    """The statistics over draws of a network's outputs. All tensors may have positions before the last axis.

    What it keeps of draws are averages: of classes, the probabilities and the entropy; of other targets, the mean, the
    squared distance from it, and the variance that each draw predicts.

    Args:
        likelihood: that of the outputs.
        num_outputs: how many there are, the size of the last axis.
        temperature: what the logits of classes are divided by.
        decision: the rule of a classifier, or None.
    """

    def __init__(self, likelihood: Likelihood, num_outputs: int, temperature: float, decision: Decision | None):
        self.of_classes = likelihood.predicts_classes(num_outputs)
        self._likelihood = likelihood
        self._temperature = temperature
        self._decision = decision

    @property
    def names(self) -> tuple[str, ...]:
        """What it can put out."""
        if not self.of_classes:
            return OF_TARGETS
        return OF_CLASSES if self._decision is None else (*OF_CLASSES, DECISION)

    def parameters(self, outputs: Tensor) -> Tensor:
        """Returns what the averages are computed from: the logits of classes, and other outputs as they are."""
        outputs = keras.ops.cast(outputs, widened(keras.backend.standardize_dtype(outputs.dtype)))
        return self._likelihood.class_logits(outputs) / self._temperature if self.of_classes else outputs

    def averages(self, draws: Tensor) -> list[Tensor]:
        """Returns the averages over draws of parameters, [draws, n, ..., outputs]."""
        ops = keras.ops
        first, *others = self._of_each(draws)
        mean = ops.mean(first, axis=0)
        squares = [] if self.of_classes else [ops.mean(ops.square(first - mean), axis=0)]
        return [mean, *squares, *(ops.mean(values, axis=0) for values in others)]

    def initial_averages(self, shape: Sequence[Any]) -> list[Tensor]:
        """Returns the averages over no draw: zeros, for outputs of this shape, [n, ..., outputs]."""
        ops = keras.ops
        *leading, num_outputs = shape
        if self.of_classes:
            return [ops.zeros((*leading, max(num_outputs, 2))), ops.zeros(leading)]
        return [ops.zeros((*leading, self._likelihood.num_targets(num_outputs))) for _ in range(3)]

    def averages_with(self, averages: Sequence[Tensor], parameters: Tensor, count: Tensor) -> list[Tensor]:
        """Returns the averages over one draw more.

        Args:
            averages: over `count` draws.
            parameters: of the new draw, [n, ..., outputs].
            count: a float.

        Source: Welford 1962, "Note on a Method for Calculating Corrected Sums of Squares and Products".
        """
        first, *others = self._of_each(parameters)
        before, *more = averages
        mean = before + (first - before) / (count + 1)
        # Of the squares the distance from the old mean times that from the new one.
        new = [*([] if self.of_classes else [(first - before) * (first - mean)]), *others]
        return [mean, *(old + (value - old) / (count + 1) for old, value in zip(more, new, strict=True))]

    def of(self, averages: Sequence[Tensor], mask: Tensor | None) -> dict[str, Tensor]:
        """Returns all statistics, by name.

        Args:
            averages: over all draws.
            mask: which positions there are, or None; where there is none, a classifier abstains.
        """
        ops = keras.ops
        if not self.of_classes:
            mean, epistemic, aleatoric = averages
            variances = (epistemic + aleatoric, epistemic, aleatoric)
            return dict(zip(OF_TARGETS, (mean, *map(ops.sqrt, variances)), strict=True))
        probabilities, expected_entropy = averages
        entropy = Categorical().entropy_of_mean(probabilities)
        information = ops.maximum(entropy - expected_entropy, 0.0)
        found = dict(zip(OF_CLASSES, (probabilities, entropy, expected_entropy, information), strict=True))
        if self._decision is not None:
            found[DECISION] = _decide(probabilities, self._decision, mask)
        return found

    def _of_each(self, parameters: Tensor) -> list[Tensor]:
        """Returns of each draw what is averaged, the mean first."""
        if self.of_classes:
            return [Categorical().mean(parameters), Categorical().entropy(parameters)]
        return [self._likelihood.mean(parameters), self._likelihood.variance(parameters)]


def _decide(probabilities: Tensor, decision: Decision, mask: Tensor | None) -> Tensor:
    ops = keras.ops
    greatest = ops.max(probabilities, axis=-1, keepdims=True)
    dtype = keras.backend.standardize_dtype(probabilities.dtype)
    sure = ops.squeeze(greatest, -1) >= _at_least(decision.cutoff, dtype)
    sure = sure if mask is None else ops.logical_and(sure, mask)
    # The first of the likeliest; Keras's `argmax` takes bits apart, and other runtimes do not.
    classes = probabilities.shape[-1]
    labels = ops.where(probabilities >= greatest, ops.arange(classes, dtype="int32"), classes)
    return ops.where(sure, ops.min(labels, axis=-1), decision.abstain)


def _at_least(cutoff: float, dtype: str) -> float:
    """Returns the least number of a precision that is not below a cut-off: `decide` compares in double precision."""
    rounded = np.dtype(dtype).type(cutoff)
    return float(rounded if float(rounded) >= cutoff else np.nextafter(rounded, np.dtype(dtype).type(np.inf)))
