"""Monte Carlo prediction in the memory of a few draws, however many there are: sums over draws instead of outputs."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tfp_bnn._checks import check_count
from tfp_bnn.likelihoods import Likelihood
from tfp_bnn.prediction import draws, inputs
from tfp_bnn.prediction.base import BasePredictive
from tfp_bnn.prediction.columns import column

_DRAWS_AT_ONCE = 50


class PredictiveSummary(BasePredictive):
    """What is left of the predictive distribution of n inputs when the draws themselves are not kept.

    Its methods have the values of those of `Predictive` of the same names; `log_prob` is of the targets that
    `summarize` was given. What needs the draws themselves (`quantiles`, `distribution`, `at_temperature`, ...) it has
    not.

    Args:
        averages: over draws, of the mean, its variance between draws ("epistemic"), the variance ("aleatoric"), the
            entropy if it has a closed form, and, if targets were given, of their probability ("log_prob", the
            logarithm).
        num_draws: how many draws.
        likelihood: what turned the network's outputs into distributions.
    """

    def __init__(self, averages: Mapping[str, np.ndarray], num_draws: int, likelihood: Likelihood):
        self._averages = averages
        self.num_draws = num_draws
        self.likelihood = likelihood

    def __len__(self) -> int:
        return len(self.mean())

    def __repr__(self) -> str:
        return f"PredictiveSummary({self.num_draws} draws for {len(self)} inputs, {type(self.likelihood).__name__})"

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

        Raises:
            ValueError: if none were given.
        """
        if "log_prob" not in self._averages:
            raise ValueError("Held-out nats need targets: summarize(model, x, y, ...). Received: y=None")
        return self._averages["log_prob"]


def summarize(
    model: keras.Model,
    x: Any,
    y: np.ndarray | None = None,
    num_draws: int = 1000,
    batch_size: int = 1000,
    *,
    likelihood: Likelihood | None = None,
    seed: int | None = None,
    verbose: bool = True,
) -> PredictiveSummary:
    """Draws a model's weights many times and keeps of the outputs only means, variances, entropies and held-out nats.

    The memory it takes does not grow with the number of draws. With the same arguments, the draws are those of
    `tfp_bnn.predict`.

    Args:
        model: a Keras model with Bayesian layers, one output [n, outputs].
        x: inputs, an array [n, ...], a DataFrame or rows in nested lists; for several inputs a list or dict of these.
        y: labels or targets of the n inputs, for held-out nats; None if there are none.
        num_draws: how many weight draws, at least 1.
        batch_size: how many inputs are computed at once.
        likelihood: what turns outputs into distributions; None takes the one that the model was compiled with.
        seed: integer that makes the draws repeatable; None draws one.
        verbose: whether a progress bar appears if it takes more than two seconds.

    Returns:
        The `PredictiveSummary` of the n inputs.

    Raises:
        ValueError: if an argument is out of range, if there is no likelihood, or if `y` does not fit.

    Example:

    >>> from tfp_bnn import layers, likelihoods
    >>> model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(2)])
    >>> summary = summarize(model, np.ones((3, 4)), num_draws=200, likelihood=likelihoods.Categorical(), seed=1)
    >>> summary.mean().shape, summary.mutual_information().shape
    ((3, 2), (3,))
    """
    from tqdm import auto as tqdm  # Slow to import.

    check_count("num_draws", num_draws)
    check_count("batch_size", batch_size)
    likelihood = draws.likelihood_of(model, likelihood)
    batches = list(draws.batches_of(inputs.arrays_for(model, x), batch_size))
    targets = _batches_of_targets(y, batches)
    seeds_of_draws = draws.seeds_of_draws(model, batches[0], num_draws, seed)
    chunks = np.array_split(seeds_of_draws, -(-num_draws // _DRAWS_AT_ONCE))
    bar = tqdm.tqdm(
        total=len(batches) * num_draws, desc="Draws", unit="draw", delay=draws.BAR_DELAY_SECONDS, disable=not verbose
    )

    def outputs_of(batch: Any) -> Iterator[np.ndarray]:
        for number, seeds in enumerate(chunks):
            outputs = draws.draw_outputs(model, batch, seeds, likelihood.check_outputs)
            if batch is batches[0] and number == 0:
                likelihood.check_drawn_outputs(outputs)
            yield outputs
            bar.update(len(seeds))

    with bar:
        parts = [
            average_over_draws(outputs_of(batch), likelihood, target)
            for batch, target in zip(batches, targets, strict=True)
        ]
    averages = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return PredictiveSummary(averages, num_draws, likelihood)


def _batches_of_targets(y: np.ndarray | None, batches: Sequence[Any]) -> list[np.ndarray | None]:
    if y is None:
        return [None] * len(batches)
    sizes = [len(keras.tree.flatten(batch)[0]) for batch in batches]
    y = np.asarray(y)
    if y.ndim == 0 or len(y) != sum(sizes):
        raise ValueError(f"`y` must have one target for each of {sum(sizes)} inputs. Received: shape {y.shape}")
    return np.split(y, np.cumsum(sizes)[:-1])


def average_over_draws(
    chunks: Iterable[np.ndarray], likelihood: Likelihood, y: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Returns the averages that a `PredictiveSummary` holds, in double precision.

    Args:
        chunks: the network's outputs, [draws, n, outputs], some draws at a time.
        likelihood: what turns outputs into distributions.
        y: labels or targets of the n inputs, or None.

    Example:

    >>> from tfp_bnn import likelihoods
    >>> averages = average_over_draws([np.zeros((50, 3, 2)), np.ones((50, 3, 2))], likelihoods.Categorical())
    >>> averages["mean"][0].tolist()
    [0.5, 0.5]
    """
    sums: dict[str, Any] = {}
    count, origin, log_sum = 0, None, -np.inf
    for outputs in chunks:
        means = keras.ops.convert_to_numpy(likelihood.mean(outputs)).astype("float64")
        # About the first draw: the difference of two large sums of squares would round the variance away.
        origin = means[0] if origin is None else origin
        terms = {
            "shift": means - origin,
            "square": np.square(means - origin),
            "aleatoric": keras.ops.convert_to_numpy(likelihood.variance(outputs)),
        }
        if likelihood.has_entropy:
            terms["entropy"] = keras.ops.convert_to_numpy(likelihood.entropy(outputs))
        for name, values in terms.items():
            sums[name] = sums.get(name, 0.0) + values.sum(axis=0, dtype="float64")
        if y is not None:
            rows = likelihood.rows_of_targets(likelihood.check_targets(outputs, y), outputs.shape[1:])
            log_probs = keras.ops.convert_to_numpy(likelihood.log_prob(outputs, rows[np.newaxis]))
            log_sum = np.logaddexp(log_sum, np.logaddexp.reduce(log_probs.astype("float64"), axis=0))
        count += len(outputs)
    averages = {name: total / count for name, total in sums.items()}
    shift, square = averages.pop("shift"), averages.pop("square")
    averages |= {"mean": origin + shift, "epistemic": np.maximum(square - np.square(shift), 0.0)}
    return averages if y is None else averages | {"log_prob": log_sum - math.log(count)}
