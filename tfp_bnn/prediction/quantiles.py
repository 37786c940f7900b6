"""Quantiles of predicted real targets and counts: of a mixture over draws of the weights, so without closed form."""

import functools
from collections.abc import Callable, Sequence

import keras
import numpy as np
from scipy import special
from scipy.optimize import elementwise

from tfp_bnn.likelihoods import Laplace, Likelihood, NegativeBinomial, Normal, NormalMixture, Poisson, StudentT

_NO_CHANGE_OF_SIGN = -1  # A status of `elementwise.find_root`.


def quantiles(outputs: np.ndarray, likelihood: Likelihood, probabilities: Sequence[float]) -> np.ndarray:
    """Returns the quantiles of each input's targets, with the noise of the data and the uncertainty of the weights.

    The p-quantile of real targets is the y with `1/S sum_s P(Y <= y | x, w_s) = p` over draws s of the weights; of
    counts it is the least count y with `1/S sum_s P(Y <= y | x, w_s) >= p`. Several targets have each their own.

    Args:
        outputs: the network's, [draws, n, outputs], for d targets.
        likelihood: `Normal`, `Laplace`, `StudentT`, `NormalMixture`, `Poisson` or `NegativeBinomial`.
        probabilities: between 0 and 1.

    Returns:
        The quantiles in units of y, float64 [probabilities, n, d]; of counts whole numbers.

    Raises:
        ValueError: if the likelihood is another one, or a probability is out of range.

    Example:

    >>> outputs = np.array([[[-1.0]], [[1.0]]])  # two narrow normals
    >>> quantiles(outputs, Normal(scale=0.1), (0.25, 0.75)).round(3).ravel().tolist()
    [-1.0, 1.0]
    >>> outputs = np.log([[[2.0]], [[50.0]]])  # two rates
    >>> quantiles(outputs, Poisson(), (0.25, 0.75)).ravel().tolist()
    [2.0, 50.0]
    """
    if np.ndim(probabilities) != 1 or any(not 0 < probability < 1 for probability in probabilities):
        raise ValueError(
            f"`probabilities` must be a sequence of numbers between 0 and 1. Received: probabilities={probabilities}"
        )
    quantile = _quantile_function(outputs, likelihood)
    return np.stack([quantile(probability) for probability in probabilities])


def _quantile_function(outputs: np.ndarray, likelihood: Likelihood) -> Callable[[float], np.ndarray]:
    """Returns the function from a probability to quantiles, [n, d]; raises ValueError if the likelihood has none."""
    match likelihood:
        case Normal() | Laplace() | StudentT():
            loc, scale = _parameters(outputs, likelihood)
            weights = np.broadcast_to(1 / len(loc), loc.shape)
            return functools.partial(_quantile_of_reals, _noise(likelihood), weights, loc, scale)
        case NormalMixture():
            log_weights, *others = _parameters(outputs, likelihood)
            # The network's precision lets the weights add up to 1 no better than to 1e-7.
            weights = special.softmax(log_weights, axis=-1) / len(log_weights)
            components = (np.concatenate(np.moveaxis(values, -1, 0)) for values in (weights, *others))
            return functools.partial(_quantile_of_reals, _noise(Normal()), *components)
        case Poisson():
            (log_rate,) = _parameters(outputs, likelihood)
            return functools.partial(_quantile_of_counts, special.pdtr, [_exp(log_rate)])
        case NegativeBinomial():
            log_mean, concentration = _parameters(outputs, likelihood)
            parameters = [_exp(log_mean), concentration]
            return functools.partial(_quantile_of_counts, _negative_binomial_cdf, parameters)
    raise ValueError(
        "Expected Normal, Laplace, StudentT, NormalMixture, Poisson or NegativeBinomial: others have no quantiles. "
        f"Received: likelihood={type(likelihood).__name__}"
    )


def _quantile_of_reals(
    noise: tuple[Callable, Callable], weights: np.ndarray, loc: np.ndarray, scale: np.ndarray, probability: float
) -> np.ndarray:
    """Returns the quantile of mixtures of `loc + scale * noise`, [n, d]; all three are [components, n, d].

    It lies between the least and the greatest quantile of single components; SciPy finds it there.
    """
    cdf, inverse_cdf = noise

    def excess(y: np.ndarray, *at: np.ndarray) -> np.ndarray:
        below = cdf((y - loc[:, *at]) / scale[:, *at])
        return (weights[:, *at] * below).sum(axis=0) - probability

    of_components = loc + scale * inverse_cdf(probability)
    ends = of_components.min(axis=0), of_components.max(axis=0)
    root = elementwise.find_root(excess, ends, args=tuple(np.indices(loc.shape[1:])))
    # Where nearly all the weight is at one end, that end is the quantile, and rounding may leave no change of sign.
    at_low, at_high = map(np.abs, root.f_bracket)
    return np.where(root.status == _NO_CHANGE_OF_SIGN, np.where(at_low < at_high, *ends), root.x)


def _quantile_of_counts(cdf: Callable, parameters: Sequence[np.ndarray], probability: float) -> np.ndarray:
    """Returns the quantile of equal mixtures of counts, [n, d], by bisection.

    Args:
        cdf: from counts and the parameters to P(Y <= count).
        parameters: the mean first, each [draws, n, d].
        probability: between 0 and 1.
    """
    mean = parameters[0].mean(axis=0)
    # No count is -1 or less. Beyond E[y] / (1 - p) lies less than 1 - p, by Markov's inequality.
    low, high = np.full_like(mean, -1.0), np.floor(mean / (1 - probability))
    while True:
        middle = np.floor(0.5 * (low + high))
        # Not `high - low > 1`, which would never end: large floats have gaps, and to an infinite mean it is infinite.
        at = np.nonzero((low < middle) & (middle < high))
        if not at[0].size:
            return high
        middle = middle[at]
        below = cdf(middle, *(values[:, *at] for values in parameters)).mean(axis=0)
        # A parameter that is no number makes the quantile none, and ends its search.
        enough = np.where(np.isnan(below), np.nan, middle)
        is_below = below < probability
        low[at], high[at] = np.where(is_below, middle, low[at]), np.where(is_below, high[at], enough)


def _negative_binomial_cdf(count: np.ndarray, mean: np.ndarray, concentration: np.ndarray) -> np.ndarray:
    return special.betainc(concentration, count + 1, concentration / (concentration + mean))


def _noise(likelihood: Likelihood) -> tuple[Callable, Callable]:
    """Returns the distribution function of `(y - loc) / scale` and its inverse."""
    # `scipy.special` where it can be: the checks of `scipy.stats` take longer than all the rest.
    match likelihood:
        case Normal():
            return special.ndtr, special.ndtri
        case Laplace():
            from scipy import stats  # Slow to import.

            return stats.laplace.cdf, stats.laplace.ppf
        case StudentT(df=df):
            return functools.partial(special.stdtr, df), functools.partial(special.stdtrit, df)


def _parameters(outputs: np.ndarray, likelihood: Likelihood) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(values).astype("float64") for values in likelihood._parameters(outputs)]


def _exp(logarithm: np.ndarray) -> np.ndarray:
    # Here and not by the likelihood: float32 would round a rate of a million by a tenth, and has none above exp(88).
    with np.errstate(over="ignore"):
        return np.exp(logarithm)
