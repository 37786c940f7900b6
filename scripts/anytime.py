"""How many draws of the weights do decisions need? Drawn until they are settled, beside all draws for every image.

Each test image is drawn for until its class probabilities, or its decision at the cut-off, are settled
(`bnn.predict(..., tolerance=..., cutoff=...)`), and beside it for all draws. OUTPUT_DIR then holds anytime.json, with
the draws that were made and the decisions that differ, and anytime.png.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import seaborn
from matplotlib.figure import Figure

import tfp_bnn as bnn
from scripts.common import reporting
from scripts.common.reporting import ScriptError, log
from tfp_bnn.plots.style import BLUE, panels, themed


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("model", type=Path, help="model.keras as scripts/train_*.py write it")
    reporting.add_data_arguments(parser)
    parser.add_argument("--num-draws", type=int, default=1000, help="the most weight draws of an image")
    parser.add_argument("--tolerance", type=float, default=0.01, help="standard error of a probability that is enough")
    parser.add_argument("--cutoff", type=float, default=0.9, help="refuse to classify below this probability")
    parser.add_argument("--images", type=int, default=2000, help="how many test images, the first ones")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/anytime"))
    return parser.parse_args()


def compare(settled: bnn.PredictiveSummary, everything: bnn.PredictiveSummary, cutoff: float) -> dict[str, Any]:
    """Returns how many draws were made, and how the decisions of few draws differ from those of all.

    Args:
        settled: of draws that end when an image is settled.
        everything: of the same images, with all draws.
        cutoff: of the decisions.
    """
    draws = np.broadcast_to(settled.num_draws, len(settled))
    few, many = (summary.decide(cutoff=cutoff) for summary in (settled, everything))
    probabilities = [np.asarray(summary.class_probabilities()) for summary in (settled, everything)]
    return {
        "draws_of_all": int(np.max(everything.num_draws)),
        "mean_draws": float(draws.mean()),
        "median_draws": float(np.median(draws)),
        "share_with_ten_draws": float((draws <= 10).mean()),
        "decisions_that_differ": float((few != many).mean()),
        "greatest_difference_of_probability": float(np.abs(probabilities[0] - probabilities[1]).max()),
        "refused": {"settled": float((few < 0).mean()), "all_draws": float((many < 0).mean())},
    }


@themed
def draw(num_draws: np.ndarray, most: int) -> Figure:
    """Returns the share of images that are settled after so many draws."""
    figure, (axes,) = panels(1, 1, (7, 4))
    seaborn.ecdfplot(x=num_draws, color=BLUE, ax=axes)
    axes.set(xscale="log", xlim=(9, most), ylim=(0, 1.02), xlabel="Draws", ylabel="Share of images that are settled")
    axes.set_title(f"Mean {np.mean(num_draws):.0f} draws an image, at most {most}")
    return figure


def main() -> None:
    """Predicts both ways, and writes everything down."""
    args = parse_arguments()
    reporting.check_at_least_one(args, "num_draws", "images")
    if not args.tolerance > 0 or not 0 <= args.cutoff <= 1:
        raise ScriptError(
            "--tolerance must be positive and --cutoff lie from 0 to 1. "
            f"Received: --tolerance {args.tolerance} and --cutoff {args.cutoff}"
        )
    reporting.make_output_directory(args.output_dir)
    model = reporting.load_model(args.model)
    reporting.check_bayesian(model, args.model)
    dataset = reporting.load_dataset(args.dataset, args.data_dir)
    reporting.check_input_shape(model, dataset)
    devices = reporting.log_devices()
    x = dataset.x_test[: args.images]
    everything = bnn.summarize(model, x, num_draws=args.num_draws, seed=args.seed)
    ways = {"probabilities": None, "decisions": args.cutoff}
    report: dict[str, Any] = {"dataset": dataset.name}
    for name, cutoff in ways.items():
        settled = bnn.predict(model, x, args.num_draws, tolerance=args.tolerance, cutoff=cutoff, seed=args.seed + 1)
        report[name] = compare(settled, everything, args.cutoff)
        log.info(
            "%s settled: %.1f draws an image instead of %d, %.2f %% of the decisions differ",
            name,
            report[name]["mean_draws"],
            args.num_draws,
            100 * report[name]["decisions_that_differ"],
        )
    other = bnn.summarize(model, x, num_draws=args.num_draws, seed=args.seed + 1)
    # What other draws of the same number would change.
    report["all_draws_again"] = compare(other, everything, args.cutoff)
    report |= reporting.provenance(args, devices)
    reporting.save_figure(draw(np.broadcast_to(settled.num_draws, len(x)), args.num_draws), args.output_dir, "anytime")
    reporting.write_json(report, args.output_dir / "anytime.json")


if __name__ == "__main__":
    reporting.exit_on_error(main)
