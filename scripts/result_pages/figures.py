"""The figures of docs/results: learning curves, densities of weights and signal-to-noise ratios, as in the paper."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure

import tfp_bnn as bnn
from scripts.common import reporting
from tfp_bnn.plots.style import panels, themed

LABELS = {
    "mixture": "Bayes by Backprop, scale mixture",
    "gaussian": "Bayes by Backprop, Gaussian",
    "dropout": "dropout",
    "sgd": "SGD",
}


def draw_all(runs: Path, results: Path, prefix: str = "mnist-400") -> None:
    """Writes the figures of the networks of one width, from the directories of their runs with seed 0.

    Args:
        runs: the directory of the runs.
        results: where the figures go.
        prefix: data set and width, as the runs' names begin.
    """
    directories = {
        label: runs / f"{prefix}-{method}-seed0"
        for method, label in LABELS.items()
        if (runs / f"{prefix}-{method}-seed0" / "metrics.json").exists()
    }
    if not directories:
        return
    reporting.save_figure(learning_curves(directories), results, "learning_curves")
    models = {label: keras.saving.load_model(directory / "model.keras") for label, directory in directories.items()}
    densities = {label: weights_of(model) for label, model in models.items()}
    reporting.save_figure(bnn.plots.weight_densities(densities), results, "weight_densities")
    if LABELS["mixture"] in models:
        model = models[LABELS["mixture"]]
        reporting.save_figure(bnn.plots.signal_to_noise(model), results, "signal_to_noise")
        layer = bnn.layers.variational_layers(model)[1]
        reporting.save_figure(bnn.plots.single_weight(layer, strongest(model, layer)), results, "single_weight")


@themed
def learning_curves(directories: dict[str, Path]) -> Figure:
    """Returns the validation error of each network, epoch by epoch; of a Bayesian one, of one draw a minibatch."""
    tables = [pd.read_csv(directory / "history.csv").assign(network=label) for label, directory in directories.items()]
    table = pd.concat(tables, ignore_index=True)
    table["error"] = 100 * (1 - table["val_accuracy"])
    table["epoch"] += 1
    figure, (axes,) = panels(1, 1, (7, 4.2))
    seaborn.lineplot(table, x="epoch", y="error", hue="network", ax=axes, palette="colorblind")
    axes.set(xlabel="Epoch", ylabel="Validation error (%)", title="Learning curves", ylim=(1, 4))
    axes.legend(title=None)
    return figure


def weights_of(model: keras.Model) -> np.ndarray:
    """Returns the weights of the kernels of a network; of a Bayesian one, their means."""
    plain = bnn.to_deterministic(model) if bnn.layers.variational_layers(model) else model
    return np.concatenate([weights.ravel() for weights in plain.get_weights() if weights.ndim > 1])


def strongest(model: keras.Model, layer: keras.layers.Layer) -> tuple[int, ...]:
    """Returns the index of the weight of a layer's kernel whose mean is greatest."""
    mean = keras.ops.convert_to_numpy(bnn.to_deterministic(model).get_layer(layer.name).kernel)
    return tuple(int(at) for at in np.unravel_index(np.abs(mean).argmax(), mean.shape))
