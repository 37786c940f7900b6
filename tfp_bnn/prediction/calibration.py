"""Numbers chosen on validation data: below which probability to refuse, and how sure the draws may be."""

import math
import numbers
from collections.abc import Callable

import numpy as np
import scipy  # Its parts are imported when they are first used.

from tfp_bnn.prediction import decisions
from tfp_bnn.prediction.positions import targets_beside
from tfp_bnn.prediction.predictive import Predictive, check_classes_of, check_no_positions

# Fixed before any data is seen, as the guarantee wants; denser where the networks' probabilities are, near 1.
_CUTOFFS = np.concatenate([[0.0], 1 - np.geomspace(0.9, 1e-6, 63)])
_LOG_TEMPERATURES = (math.log(0.01), math.log(100.0))
# A third of a temperature apart: the loss of a draw changes slowly in the logarithm of its temperature.
_GRID_POINTS = 33


def calibrate_cutoff(predictive: Predictive, y: np.ndarray, risk: float = 0.01, confidence: float = 0.95) -> float:
    """Returns the least cut-off under which few of the classified inputs are classified wrongly.

    With probability `confidence` over the validation data, `p(wrong | classified) <= risk` for all inputs to come that
    are like them, if the same draws of the weights decide. It is the least of 64 fixed cut-offs c whose
    Clopper-Pearson bound

        max {r: P[Binomial(n_c, r) <= k_c] >= (1 - confidence) / 64}

    is at most `risk`, where k_c of the n_c inputs with a greatest class probability of at least c are wrong. Dividing
    by 64 makes the bounds hold all at once.

    Args:
        predictive: the predictive distribution of the validation inputs; they must not have been trained on, nor any
            number, such as a temperature, chosen on them.
        y: their labels, integers [n] or [n, 1]. Inputs must be independent, so it is not of positions (time steps,
            pixels), which have their input in common.
        risk: the share of wrong ones among those classified, between 0 and 1.
        confidence: probability of the guarantee, between 0 and 1.

    Returns:
        What `Predictive.decide(cutoff=...)` takes. It is of these draws of the weights: predict the inputs to come with
        the same `num_draws` and `seed`.

    Raises:
        ValueError: if an argument is out of range, or if no cut-off fulfils the guarantee: with 64 cut-offs, risk 0.01
            and confidence 0.95 it takes 712 inputs that are classified without an error.

    Example:

    >>> from tfp_bnn.likelihoods import Categorical
    >>> outputs = np.tile([[5.0, 0.0], [0.2, 0.0]], (50, 1000, 1))  # every other input is hard
    >>> predictive, y = Predictive(outputs, Categorical()), np.tile([0, 0, 0, 1], 500)
    >>> cutoff = calibrate_cutoff(predictive, y, risk=0.01)
    >>> predictive[:4].decide(cutoff=cutoff).tolist()
    [0, -1, 0, -1]

    Source: Clopper and Pearson 1934; Geifman and El-Yaniv 2017, "Selective Classification for Deep Neural Networks",
    section 3, with a union bound over fixed cut-offs instead of a search.
    """
    _check_share("risk", risk)
    _check_share("confidence", confidence)
    check_classes_of("predictive", predictive)
    check_no_positions(
        "predictive",
        predictive,
        "The guarantee is of independent inputs, and the positions of an input are not: choose one of each input.",
    )
    labels = _labels_of(predictive, y)
    probabilities = predictive.class_probabilities()
    wrong = probabilities.argmax(axis=-1) != labels
    # As `decide` will.
    sure = [decisions.sure_by_cutoff(probabilities, float(cutoff)) for cutoff in _CUTOFFS]
    classified = np.array([chosen.sum() for chosen in sure])
    mistakes = np.array([wrong[chosen].sum() for chosen in sure])
    bounds = _upper_bounds(mistakes, classified, (1 - confidence) / len(_CUTOFFS))
    if bounds.min() > risk:
        raise ValueError(
            f"No cut-off bounds the risk by {risk} with confidence {confidence}; the least bound is "
            f"{bounds.min():.4f}. Give more validation data or allow a greater risk. Received: {len(labels)} inputs, "
            f"{wrong.sum()} of them classified wrongly"
        )
    return float(_CUTOFFS[np.argmax(bounds <= risk)])


def _upper_bounds(mistakes: np.ndarray, trials: np.ndarray, level: float) -> np.ndarray:
    """Returns one-sided Clopper-Pearson bounds of binomial probabilities, each missed with probability `level`."""
    certain = mistakes == trials
    bounds = scipy.special.betaincinv(mistakes + 1, np.where(certain, 1, trials - mistakes), 1 - level)
    return np.where(certain, 1.0, bounds)


def calibrate_temperature(predictive: Predictive, y: np.ndarray) -> float:
    """Returns the temperature T that makes held-out labels the most probable.

        argmin_T -sum_i log (1/S) sum_s softmax(outputs_s(x_i) / T)[y_i]

    One number for all draws and inputs: above 1 it makes every draw less sure, below 1 surer.

    Args:
        predictive: the predictive distribution of validation inputs; they must not have been trained on.
        y: their labels, integers [n] or [n, 1]; of positions, [n, positions], of which those count that are there.

    Returns:
        What `Predictive.at_temperature` takes, between 0.01 and 100; near 100 if the outputs say nothing about y.

    Raises:
        ValueError: if the likelihood is not one of classes, a label is not one of them, the outputs are not finite, or
            no temperature is the best one, because the log-likelihood rises as long as the temperature falls. That
            happens where the model classifies all inputs, or nearly all, correctly.

    Example:

    >>> from tfp_bnn.likelihoods import Categorical
    >>> predictive = Predictive(np.tile([4.0, 0.0], (50, 1000, 1)), Categorical())  # 98 % sure
    >>> y = np.repeat([0, 1], (900, 100))  # 90 % right
    >>> temperature = calibrate_temperature(predictive, y)
    >>> round(temperature, 2), round(float(predictive.at_temperature(temperature).mean()[0, 0]), 2)
    (1.82, 0.9)

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2, for the mean over weight draws.
    """
    labels, predictive = _labels_of(predictive, y), predictive.as_rows()
    if not np.isfinite(predictive.outputs).all():
        number = int((~np.isfinite(predictive.outputs)).any(axis=(0, -1)).sum())
        raise ValueError(f"The outputs must be finite. Received: {len(labels)} inputs, {number} of them with others")

    def nll(log_temperature: float) -> float:
        return -float(predictive.at_temperature(math.exp(log_temperature)).log_prob(labels).mean(dtype="float64"))

    best, least = _least(nll, *_LOG_TEMPERATURES)
    # Not so if the loss is flat, or falls down to that end.
    if not nll(_LOG_TEMPERATURES[0]) > least:
        wrong = int((predictive.class_probabilities().argmax(axis=-1) != labels).sum())
        raise ValueError(
            "No temperature is the best one: the log-likelihood rises as the temperature falls, down to 0.01. Fit it "
            "on more validation data. "
            f"Received: {len(labels)} inputs, {wrong} of them classified wrongly, and a loss of {least:.4g} nats"
        )
    return math.exp(best)


def _least(function: Callable[[float], float], low: float, high: float) -> tuple[float, float]:
    """Returns where a function is least between two ends, and that value.

    A grid finds the valley, as there may be several where draws differ in scale; a local search finds its floor.
    """
    grid = np.linspace(low, high, _GRID_POINTS)
    values = [function(float(point)) for point in grid]
    at = int(np.argmin(values))
    ends = float(grid[max(at - 1, 0)]), float(grid[min(at + 1, len(grid) - 1)])
    found = scipy.optimize.minimize_scalar(function, bounds=ends, method="bounded", options={"xatol": 1e-4})
    return (found.x, found.fun) if found.fun < values[at] else (float(grid[at]), values[at])


def _check_share(name: str, value: float) -> None:
    if not isinstance(value, numbers.Real) or not 0 < value < 1:
        raise ValueError(f"`{name}` must be a number between 0 and 1. Received: {name}={value!r}")


def _labels_of(predictive: Predictive, y: np.ndarray) -> np.ndarray:
    """Returns the labels of the inputs, or positions, [n]; raises ValueError if they are not a classifier's."""
    check_classes_of("predictive", predictive)
    y = np.asarray(y)
    if y.ndim == 0 or len(y) != len(predictive) or not len(predictive):
        raise ValueError(f"`y` must have one label for each of {len(predictive)} inputs. Received: shape {y.shape}")
    targets = targets_beside(predictive.likelihood, predictive.outputs, y, predictive.mask)
    return predictive.rows_of(targets)[:, 0]
