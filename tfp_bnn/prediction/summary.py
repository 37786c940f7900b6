"""Monte Carlo prediction in the memory of a few draws, however many there are: sums over draws instead of outputs."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tfp_bnn.likelihoods import Likelihood
from tfp_bnn.prediction.averages import RunningAverages
from tfp_bnn.prediction.base import BasePredictive
from tfp_bnn.prediction.columns import column
from tfp_bnn.prediction.heads import Heads
from tfp_bnn.prediction.passes import Pass, joined
from tfp_bnn.prediction.positions import check_mask
from tfp_bnn.prediction.sources import Batch

_DRAWS_AT_ONCE = 50


class PredictiveSummary(BasePredictive):
    """What is left of the predictive distribution of n inputs when the draws themselves are not kept.

    Its methods have the values of those of `Predictive` of the same names, in the same shapes; `log_prob` is of the
    targets that `summarize` was given. It does not have what needs the draws themselves: `quantiles`, `distribution`,
    `at_temperature`.

    Args:
        averages: over draws, of the mean, its variance between draws ("epistemic"), the variance ("aleatoric"), the
            entropy if it has a closed form, and, if targets were given, of their probability ("log_prob", the
            logarithm).
        num_draws: how many draws; of each input, [n], if these have not all the same.
        likelihood: what turned the network's outputs into distributions.
        mask: which positions there are, bool [n, positions], or None: see `Predictive`.
    """

    def __init__(
        self,
        averages: Mapping[str, np.ndarray],
        num_draws: int | np.ndarray,
        likelihood: Likelihood,
        mask: np.ndarray | None = None,
    ):
        self._averages = averages
        self.num_draws = num_draws
        self.likelihood = likelihood
        self.mask = check_mask(mask, self.shape_of_targets)

    @property
    def shape_of_targets(self) -> tuple[int, ...]:
        """The shape [n] or [n, positions] of what is predicted."""
        return self._averages["mean"].shape[:-1]

    def __len__(self) -> int:
        return len(self.mean())

    def __repr__(self) -> str:
        least, most = np.min(self.num_draws), np.max(self.num_draws)
        draws = f"{least}" if least == most else f"{least} to {most}"
        return f"PredictiveSummary({draws} draws for {len(self)} inputs, {type(self.likelihood).__name__})"

    def mean(self) -> np.ndarray:
        """Returns E[y | x], [n, d]; for classes, their probabilities."""
        return column(self._averages["mean"])

    def epistemic_stddev(self) -> np.ndarray:
        """Returns the standard deviation over draws of E[y | x, w], [n, d]."""
        return column(np.sqrt(self._averages["epistemic"]))

    def aleatoric_stddev(self) -> np.ndarray:
        """Returns the root of the mean over draws of Var[y | x, w], [n, d]."""
        return column(np.sqrt(self._averages["aleatoric"]))

    def expected_entropy(self) -> np.ndarray:
        """Returns the mean over draws of the entropy of p(y | x, w) in nats, [n]: the aleatoric part.

        Raises:
            ValueError: if that entropy has no closed form.
        """
        if "entropy" not in self._averages:
            raise ValueError(
                "The entropy of this likelihood has no closed form; see `epistemic_stddev` and `aleatoric_stddev`. "
                f"Received: likelihood={type(self.likelihood).__name__}"
            )
        return self._averages["entropy"]

    def entropy(self) -> np.ndarray:
        """Returns the entropy of the predictive distribution in nats, [n]: aleatoric and epistemic together.

        Raises:
            ValueError: for likelihoods other than of classes or of one yes-or-no target: their mean does not say it.
        """
        return keras.ops.convert_to_numpy(self.likelihood.entropy_of_mean(keras.ops.convert_to_tensor(self.mean())))

    def predicts_classes(self) -> bool:
        """Returns whether y is one of several classes, or one yes or no."""
        return self.likelihood.predicts_classes(self.mean().shape[-1])

    def log_prob(self) -> np.ndarray:
        """Returns the held-out nats `log (1/S) sum_s p(y | x, w_s)`, [n], of the targets that were given.

        Of positions each by itself, [n, positions]; 0 where a mask says that there is none.

        Raises:
            ValueError: if none were given.
        """
        if "log_prob" not in self._averages:
            raise ValueError("Held-out nats need targets: summarize(model, x, y, ...). Received: y=None")
        return self._averages["log_prob"]


def summarize(
    model: keras.Model | Sequence[keras.Model],
    x: Any,
    y: Any = None,
    num_draws: int = 1000,
    batch_size: int = 1000,
    *,
    likelihood: Any = None,
    seed: int | None = None,
    steps: int | None = None,
    verbose: bool = True,
) -> Any:
    """Draws a model's weights many times and keeps of the outputs only means, variances, entropies and held-out nats.

    The memory it takes does not grow with the number of draws. With the same arguments, the draws are those of
    `tfp_bnn.predict`.

    Args:
        model: a Keras model with Bayesian layers, or a list of them, as `tfp_bnn.predict` takes it.
        x: inputs, arrays or a stream of batches, as `tfp_bnn.predict` takes them.
        y: labels or targets of the n inputs, for held-out nats; for several outputs a dict or list of them. None if
            there are none, or if `x` is a stream of (inputs, targets).
        num_draws: how many weight draws, at least 1.
        batch_size: how many inputs are computed at once.
        likelihood: what turns outputs into distributions; None takes the one that the model was compiled with.
        seed: integer that makes the draws repeatable; None draws one.
        steps: how many batches of a stream to take; None for all.
        verbose: whether a progress bar appears if it takes more than two seconds.

    Returns:
        The `PredictiveSummary` of the n inputs; of a model of several outputs a dict or list of them.

    Raises:
        ValueError: if an argument is out of range, if there is no likelihood, or if `y` does not fit.

    Example:

    >>> from tfp_bnn import layers, likelihoods
    >>> model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(2)])
    >>> summary = summarize(model, np.ones((3, 4)), num_draws=200, likelihood=likelihoods.Categorical(), seed=1)
    >>> summary.mean().shape, summary.mutual_information().shape
    ((3, 2), (3,))
    """
    run = Pass(
        model,
        x,
        y,
        num_draws=num_draws,
        batch_size=batch_size,
        steps=steps,
        likelihood=likelihood,
        seed=seed,
        verbose=verbose,
    )
    parts = [summed_up(run, batch, bar) for batch, bar in run.batches()]
    return run.heads.pack(summaries(run.heads, parts))


BatchAverages = Sequence[tuple[RunningAverages, np.ndarray | None] | None]
"""Of each output of a batch the averages, and the mask; None of those without a likelihood."""


def summed_up(run: Pass, batch: Batch, bar: Any) -> BatchAverages:
    """Returns the averages over all draws for a batch."""
    chunks = np.array_split(run.seeds, -(-len(run.seeds) // _DRAWS_AT_ONCE))
    averages: BatchAverages = ()
    for seeds in chunks:
        drawn = run.draw(batch.inputs, seeds)
        averages = averages or averages_of(run.heads, batch.targets, drawn.masks)
        for outputs, pair in zip(drawn.outputs, averages, strict=True):
            if pair is not None:
                pair[0].add(outputs)
        bar.update(batch.size * len(seeds) / len(run.seeds))
    return averages


def averages_of(heads: Heads, targets: Any, masks: Sequence[np.ndarray | None]) -> BatchAverages:
    """Returns averages of no draws yet, for each output of a batch."""
    of_outputs = heads.parts_of("y", targets)
    return [
        None if likelihood is None else (RunningAverages(likelihood, y, mask), mask)
        for likelihood, y, mask in zip(heads.likelihoods, of_outputs, masks, strict=True)
    ]


def summaries(heads: Heads, parts: Sequence[BatchAverages]) -> "list[PredictiveSummary | None]":
    """Returns the summary of all batches for each output; None for those without a likelihood."""

    def summary(number: int, likelihood: Likelihood) -> PredictiveSummary:
        batches = [part[number] for part in parts]
        results = [running.result() for running, _ in batches]
        averages = {name: joined([result[name] for result in results], axis=0) for name in results[0]}
        num_draws = np.concatenate([running.num_draws for running, _ in batches])
        is_one = num_draws.min() == num_draws.max()
        mask = joined([mask for _, mask in batches], axis=0)
        return PredictiveSummary(averages, int(num_draws[0]) if is_one else num_draws, likelihood, mask)

    return heads.each(summary)
