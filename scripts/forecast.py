"""Forecasts a time series by a Bayesian GRU, with intervals, and counts how many of the later values they hold.

The series is made: two sinusoids, and noise that is three times as strong in the upper half of the slow one. From 36
values the network forecasts the next 6 and their noise. OUTPUT_DIR then holds forecast.png, model.keras and
metrics.json.
"""

import argparse

import keras
import numpy as np
from matplotlib.figure import Figure

import tfp_bnn as bnn
from scripts.common import examples, reporting
from scripts.common.reporting import log
from tfp_bnn.plots.style import BLUE, DARK, panels, themed

PAST, AHEAD = 36, 6
SLOW, FAST = 60, 12
LEVELS = (0.5, 0.9)
SHOWN = 180


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    return examples.parse(examples.make_parser(__doc__, "forecast", epochs=30, learning_rate=0.01), quick_epochs=20)


def make_series(length: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the series, what it is without noise, and the standard deviation of the noise."""
    time = np.arange(length)
    slow = np.sin(2 * np.pi * time / SLOW)
    signal = slow + 0.5 * np.sin(2 * np.pi * time / FAST)
    stddev = np.where(slow > 0, 0.3, 0.1)
    return signal + np.random.default_rng(seed).normal(0, stddev), signal, stddev


def windows(series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns each stretch of `PAST` values, [n, PAST, 1], and the `AHEAD` values that follow it, [n, AHEAD]."""
    both = np.lib.stride_tricks.sliding_window_view(series.astype("float32"), PAST + AHEAD)
    return both[:, :PAST, np.newaxis].copy(), both[:, PAST:].copy()


def make_model() -> keras.Model:
    """Returns the Bayesian network, not compiled: `AHEAD` values, then what their scales come from."""
    prior = bnn.priors.Normal(scale=0.5)
    return keras.Sequential(
        [
            keras.Input((PAST, 1)),
            bnn.layers.GRU(16, prior=prior),
            bnn.layers.Dense(2 * AHEAD, prior=prior),
        ]
    )


def figures(predictive: bnn.Predictive, y: np.ndarray, stddev: np.ndarray) -> dict[str, dict[str, float]]:
    """Returns error, and share of values in each interval: of all values, and of those with each of the noises."""
    ends = {level: predictive.quantiles(((1 - level) / 2, (1 + level) / 2)) for level in LEVELS}
    error = predictive.mean() - y
    rows = {}
    for name, which in {
        "all values": np.ones(y.shape, bool),
        "noise of 0.1": stddev == stddev.min(),
        "noise of 0.3": stddev == stddev.max(),
    }.items():
        rows[name] = {"rmse": float(np.sqrt(np.mean(error[which] ** 2)))}
        for level, (low, high) in ends.items():
            inside = f"in {100 * level:g} % interval"
            rows[name][inside] = bnn.metrics.coverage(y[which], low[which], high[which])
            rows[name][f"width of {100 * level:g} %"] = float((high - low)[which].mean())
    return rows


@themed
def draw(predictive: bnn.Predictive, y: np.ndarray, signal: np.ndarray) -> Figure:
    """Returns the forecasts, `AHEAD` steps before, of the last stretch, with their intervals."""
    figure, (axes,) = panels(1, 1, (11, 4.5))
    last = slice(-SHOWN, None)
    time = np.arange(len(y))[last]
    for level, alpha in ((0.9, 0.15), (0.5, 0.3)):
        low, high = predictive.quantiles(((1 - level) / 2, (1 + level) / 2))[:, last, -1]
        axes.fill_between(time, low, high, color=BLUE, alpha=alpha, lw=0, label=f"{100 * level:g} % interval")
    axes.plot(time, predictive.mean()[last, -1], color=BLUE, lw=2, label="Forecast")
    axes.plot(time, signal[last, -1], color=DARK, lw=1, ls="--", label="Without noise")
    axes.scatter(time, y[last, -1], s=10, color=DARK, zorder=3, label="Values to come")
    axes.set(title=f"Forecasts {AHEAD} steps ahead", xlabel="Time (steps)", ylabel="Value")
    axes.margins(x=0.01)
    figure.legend(loc="outside lower center", ncols=5)
    return figure


def main() -> None:
    """Makes the series, trains, forecasts, and writes everything down."""
    args = parse_arguments()
    devices = examples.start(args)
    length = 1200 if args.quick else 2400
    series, signal, stddev = make_series(length + 1200, args.seed)
    x, y = windows(series[:length])
    x_later, y_later = windows(series[length:])
    _, signal_later = windows(signal[length:])
    _, stddev_later = windows(stddev[length:])
    model = make_model()
    log.info("training on %d stretches of %d values", len(x), PAST)
    history = examples.train(model, x, y, bnn.likelihoods.Normal(), args)
    log.info("wrote %s", reporting.save_model(model, args.output_dir))
    predictive = examples.predict(model, x_later, args)
    reporting.save_figure(draw(predictive, y_later, signal_later), args.output_dir, "forecast")
    rows = figures(predictive, y_later, stddev_later)
    title = f"{len(y_later)} forecasts of {AHEAD} later values"
    examples.finish(args, devices, title, rows, loss=history.history["loss"][-1])


if __name__ == "__main__":
    reporting.exit_on_error(main)
