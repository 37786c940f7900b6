"""What people use for a table of numbers: each learns from rows, and says a distribution for others."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import keras
import numpy as np
import scipy.optimize
import scipy.stats
from sklearn.ensemble import RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.preprocessing import StandardScaler

import tfp_bnn as bnn

# A Gaussian process takes time as the cube of its rows.
MOST_ROWS_OF_A_PROCESS = 1500
TREES, MEMBERS, DRAWS, STEPS = 500, 5, 100, 5000
HELD_OUT = 0.1
LOWEST_STDDEV = 1e-6


class Answer(NamedTuple):
    """What a contender says of the rows to come, in units of y: [n] each.

    Args:
        mean: E[y | x].
        log_prob: held-out nats of the targets.
        low: the end of the interval below which the targets are with probability `tail`.
        high: that above which they are.
    """

    mean: np.ndarray
    log_prob: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Rows(NamedTuple):
    """Rows to learn from, and rows to come with their targets: [n, d] and [n]."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


Contender = Callable[[Rows, float, int], Answer]
"""A function of (rows, tail, seed)."""


def bayes(rows: Rows, tail: float, seed: int) -> Answer:
    """The five-line program."""
    keras.utils.set_random_seed(seed)
    model = bnn.models.tabular(num_features=rows.x_train.shape[1])
    model.fit(rows.x_train, rows.y_train, verbose=0)
    predictive = bnn.predict(model, rows.x_test, DRAWS, seed=seed, verbose=False)
    return _of_predictive(predictive, rows, tail)


def forest(rows: Rows, tail: float, seed: int) -> Answer:
    """A random forest, whose variance `a * variance over trees + b` is fit to the rows that each tree has not seen."""
    model = RandomForestRegressor(TREES, random_state=seed, n_jobs=1)
    model.fit(rows.x_train, rows.y_train)
    mean, variance = _of_trees_that_have_not_seen(model, rows.x_train)
    a, b = _fit_variance(np.square(rows.y_train - mean), variance)
    variance = np.var([tree.predict(rows.x_test) for tree in model.estimators_], axis=0)
    return _gaussian(model.predict(rows.x_test), np.sqrt(a * variance + b), rows, tail)


def _of_trees_that_have_not_seen(model: RandomForestRegressor, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and variance, for each row of the training, over the trees whose samples it is not in."""
    answers = np.array([tree.predict(x) for tree in model.estimators_])
    for answer, sample in zip(answers, model.estimators_samples_, strict=True):
        answer[sample] = np.nan
    return np.nanmean(answers, axis=0), np.nanvar(answers, axis=0)


def _fit_variance(errors: np.ndarray, variances: np.ndarray) -> tuple[float, float]:
    """Returns a and b of the variance `a * variances + b` under which errors with these squares are likeliest."""

    def nll(logs: np.ndarray) -> float:
        variance = np.exp(logs[0]) * variances + np.exp(logs[1])
        return float(np.mean(np.log(variance) + errors / variance))

    found = scipy.optimize.minimize(nll, [0.0, np.log(errors.mean() / 2)], method="Nelder-Mead")
    return float(np.exp(found.x[0])), float(np.exp(found.x[1]))


def gaussian_process(rows: Rows, tail: float, seed: int) -> Answer:
    """A Gaussian process with a length scale for each column, fit by its marginal likelihood; of 1,500 rows at most."""
    some = np.random.default_rng(seed).permutation(len(rows.x_train))[:MOST_ROWS_OF_A_PROCESS]
    scaler = StandardScaler().fit(rows.x_train[some])
    columns = rows.x_train.shape[1]
    kernel = ConstantKernel(1.0) * RBF(np.ones(columns), (1e-2, 1e3)) + WhiteKernel(0.1, (1e-6, 1e1))
    model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed)
    model.fit(scaler.transform(rows.x_train[some]), rows.y_train[some])
    mean, stddev = model.predict(scaler.transform(rows.x_test), return_std=True)
    return _gaussian(mean, stddev, rows, tail)


def plain_network(rows: Rows, tail: float, seed: int) -> Answer:
    """A network of 50 units, stopped early; its errors on the rows that stopped it are those to come."""
    scaled = _Scaled(rows)
    model = _network(1)
    model.compile(keras.optimizers.Adam(0.01), loss="mse", steps_per_execution=scaled.steps)
    x, y = scaled.held_out
    _fit(model, scaled, seed)
    stddev = float(np.sqrt(np.mean(np.square(y - model.predict(x, verbose=0)))))
    mean = model.predict(scaled.x_test, verbose=0)[:, 0]
    return _gaussian(scaled.mean_of(mean), np.full(len(mean), stddev * scaled.stddev), rows, tail)


def deep_ensemble(rows: Rows, tail: float, seed: int) -> Answer:
    """Five networks of 50 units that predict mean and scale, each stopped early."""
    scaled, likelihood = _Scaled(rows), bnn.likelihoods.Normal()
    means, stddevs = [], []
    for member in range(MEMBERS):
        model = _network(2)
        model.compile(keras.optimizers.Adam(0.01), loss=likelihood, steps_per_execution=scaled.steps)
        _fit(model, scaled, MEMBERS * seed + member)
        outputs = model.predict(scaled.x_test, verbose=0)
        means.append(scaled.mean_of(keras.ops.convert_to_numpy(likelihood.mean(outputs))[:, 0]))
        stddevs.append(scaled.stddev * np.sqrt(keras.ops.convert_to_numpy(likelihood.variance(outputs))[:, 0]))
    return _mixture(np.array(means), np.array(stddevs), rows, tail)


CONTENDERS: Mapping[str, Contender] = {
    "five lines": bayes,
    "random forest": forest,
    "Gaussian process": gaussian_process,
    "plain network": plain_network,
    "ensemble of 5": deep_ensemble,
}


class _Scaled:
    """Rows standardized by those to learn from, a tenth of which are held out."""

    def __init__(self, rows: Rows):
        self.mean, self.stddev = rows.y_train.mean(), rows.y_train.std()
        scaler = StandardScaler().fit(rows.x_train)
        x = scaler.transform(rows.x_train).astype("float32")
        y = ((rows.y_train - self.mean) / self.stddev).astype("float32")[:, np.newaxis]
        at = max(1, round(HELD_OUT * len(x)))
        self.held_out, self.train = (x[:at], y[:at]), (x[at:], y[at:])
        self.x_test = scaler.transform(rows.x_test).astype("float32")
        self.batch_size = min(100, len(x) - at)
        self.steps = -(-(len(x) - at) // self.batch_size)

    def mean_of(self, standardized: np.ndarray) -> np.ndarray:
        """Returns means in units of y."""
        return self.mean + self.stddev * standardized.astype("float64")


def _network(num_outputs: int) -> keras.Model:
    return keras.Sequential([keras.layers.Dense(50, "relu"), keras.layers.Dense(num_outputs)])


def _fit(model: keras.Model, scaled: _Scaled, seed: int) -> None:
    """Trains until the held-out rows have not gained for a tenth of the steps."""
    keras.utils.set_random_seed(seed)
    epochs = -(-STEPS // scaled.steps)
    stop = keras.callbacks.EarlyStopping(patience=max(2, epochs // 10), restore_best_weights=True)
    model.fit(*scaled.train, scaled.batch_size, epochs, 0, [stop], validation_data=scaled.held_out)


def _of_predictive(predictive: bnn.Predictive, rows: Rows, tail: float) -> Answer:
    low, high = predictive.quantiles((tail, 1 - tail))
    return Answer(predictive.mean()[:, 0], predictive.log_prob(rows.y_test), low[:, 0], high[:, 0])


def _gaussian(mean: np.ndarray, stddev: np.ndarray, rows: Rows, tail: float) -> Answer:
    return _mixture(mean[np.newaxis], stddev[np.newaxis], rows, tail)


def _mixture(means: np.ndarray, stddevs: np.ndarray, rows: Rows, tail: float) -> Answer:
    """Returns what an equal mixture of Gaussians says, [members, n] each."""
    parts = scipy.stats.norm(means, np.maximum(stddevs, LOWEST_STDDEV))
    log_prob = scipy.special.logsumexp(parts.logpdf(rows.y_test), axis=0) - np.log(len(means))

    def quantile(probability: float) -> np.ndarray:
        ends = parts.ppf(probability)
        low, high = ends.min(axis=0), ends.max(axis=0)
        for _ in range(60):
            middle = (low + high) / 2
            above = parts.cdf(middle).mean(axis=0) < probability
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return (low + high) / 2

    return Answer(means.mean(axis=0), log_prob, quantile(tail), quantile(1 - tail))
