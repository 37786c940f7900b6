"""Prunes a trained Bayesian network by signal-to-noise ratio and shows what each share of lost weights costs.

At each sparsity: error, nll and ECE of the mean weights and of Monte Carlo, and of a plain network pruned by magnitude
if one is given. OUTPUT_DIR then holds pruning.json, pruning.png, signal_to_noise.png and pruned.keras.
"""

import argparse
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure

import tfp_bnn as bnn
from scripts.common import reporting
from scripts.common.reporting import ScriptError, log
from tfp_bnn.plots.style import panels, themed

SPARSITIES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99)
BAYESIAN, MONTE_CARLO, PLAIN = "mean weights", "Monte Carlo", "plain network, by magnitude"


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("model", type=Path, help="model.keras of a Bayesian network, as train_mlp.py writes it")
    parser.add_argument("--plain-model", type=Path, help="model.keras of a plain network, to be pruned by magnitude")
    reporting.add_data_arguments(parser)
    parser.add_argument("--sparsities", type=float, nargs="+", default=SPARSITIES, help="shares of weights to prune")
    parser.add_argument("--by-layer", action="store_true", help="prune this share of each layer, not of the network")
    parser.add_argument("--keep", type=float, default=0.95, help="the sparsity at which pruned.keras is saved")
    parser.add_argument("--num-draws", type=int, default=50, help="weight draws of a prediction")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/pruning"))
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws")
    return parser.parse_args()


def check_arguments(args: argparse.Namespace) -> None:
    """Raises ScriptError if something is wrong, before any work is done."""
    reporting.check_at_least_one(args, "num_draws")
    for sparsity in (*args.sparsities, args.keep):
        if not 0 <= sparsity <= 1:
            raise ScriptError(f"A sparsity must be a number from 0 to 1. Received: {sparsity}")
    reporting.make_output_directory(args.output_dir)


def pruned_by_magnitude(model: keras.Model, sparsity: float, by_layer: bool) -> tuple[keras.Model, int]:
    """Returns a copy of a plain network without the least weights of its kernels, and how many weights it still has."""
    pruned = keras.models.clone_model(model)
    weights = model.get_weights()
    kernels = [np.abs(array).ravel() for array in weights if array.ndim > 1]
    groups = kernels if by_layer else [np.concatenate(kernels)] * len(kernels)
    cuts = iter([np.sort(group)[round(sparsity * group.size) :].min(initial=np.inf) for group in groups])
    left = [np.where(np.abs(array) < next(cuts), 0, array) if array.ndim > 1 else array for array in weights]
    pruned.set_weights(left)
    gone = sum(int(np.count_nonzero(now != before)) for now, before in zip(left, weights, strict=True))
    return pruned, sum(array.size for array in weights) - gone


def measure(
    args: argparse.Namespace, model: keras.Model, plain: keras.Model | None, images: dict[str, tuple]
) -> list[dict[str, Any]]:
    """Returns a row for each sparsity, network and set of images."""
    rows = []
    for sparsity in args.sparsities:
        pruned = bnn.prune(model, sparsity, args.by_layer)
        mean_weights = bnn.to_deterministic(pruned)
        kept = dict.fromkeys((BAYESIAN, MONTE_CARLO), bnn.count_weights(pruned).kept)
        if plain is not None:
            pruned_plain, kept[PLAIN] = pruned_by_magnitude(plain, sparsity, args.by_layer)
        for name, (x, y) in images.items():
            found = {
                BAYESIAN: reporting.predict_plain(mean_weights, x),
                MONTE_CARLO: bnn.predict(pruned, x, args.num_draws, seed=args.seed),
            }
            if plain is not None:
                found[PLAIN] = reporting.predict_plain(pruned_plain, x)
            for network, predictive in found.items():
                quality = reporting.quality(predictive, y)
                held = {"sparsity": sparsity, "weights_kept": kept[network], "images": name, "network": network}
                rows.append({**held, **quality})
                log.info("%g %% pruned, %s, %s: error %.2f %%", 100 * sparsity, name, network, quality["error_percent"])
    return rows


@themed
def draw(rows: list[dict[str, Any]]) -> Figure:
    """Returns the curves of test error against sparsity, which is spaced so that the sparse end can be read."""
    table = pd.DataFrame(rows).query("images == 'test'")
    order = sorted(table["sparsity"].unique())
    table = table.assign(at=[order.index(sparsity) for sparsity in table["sparsity"]])
    figure, (axes,) = panels(1, 1, (7, 4.2))
    seaborn.lineplot(
        table, x="at", y="error_percent", hue="network", style="network", markers=True, ax=axes, palette="colorblind"
    )
    axes.set_xticks(range(len(order)), [f"{100 * sparsity:g}" for sparsity in order])
    axes.set(xlabel="Weights pruned (%)", ylabel="Test error (%)", title="Pruning by signal-to-noise ratio")
    least = table["error_percent"].min()
    axes.set_ylim(0.9 * least, min(table["error_percent"].max() * 1.02, 4 * least))
    axes.legend(title=None)
    return figure


def main() -> None:
    """Prunes, measures, and writes everything down."""
    args = parse_arguments()
    check_arguments(args)
    model = reporting.load_model(args.model)
    reporting.check_bayesian(model, args.model)
    plain = reporting.load_model(args.plain_model) if args.plain_model else None
    dataset = reporting.load_dataset(args.dataset, args.data_dir)
    reporting.check_input_shape(model, dataset)
    if plain is not None:
        reporting.check_input_shape(plain, dataset)
        if bnn.layers.variational_layers(plain):
            raise ScriptError(f"--plain-model must have no Bayesian layers. Received: {args.plain_model}")
    devices = reporting.log_devices()
    _, validation = reporting.split_validation(dataset)
    rows = measure(args, model, plain, {"validation": validation, "test": (dataset.x_test, dataset.y_test)})
    reporting.save_figure(draw(rows), args.output_dir, "pruning")
    reporting.save_figure(bnn.plots.signal_to_noise(model), args.output_dir, "signal_to_noise")
    with reporting.whole_file(args.output_dir / "pruned.keras") as path:
        bnn.prune(model, args.keep, args.by_layer).save(path)
    log.info("wrote %s", args.output_dir / "pruned.keras")
    report = {"dataset": dataset.name, "rows": rows, **reporting.provenance(args, devices)}
    reporting.write_json(report, args.output_dir / "pruning.json")


if __name__ == "__main__":
    reporting.exit_on_error(main)
