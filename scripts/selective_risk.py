"""Does a cut-off that is chosen on validation images keep its promise on others? Many random halves of the test images.

One half chooses the cut-off (`bnn.calibrate_cutoff`), the other says how many of the answers are wrong. OUTPUT_DIR then
holds selective_risk.json and selective_risk.png.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure

import tfp_bnn as bnn
from scripts.common import reporting
from scripts.common.reporting import ScriptError, log
from tfp_bnn.plots.style import BLUE, RED, panels, themed


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("model", type=Path, help="model.keras as scripts/train_*.py write it")
    reporting.add_data_arguments(parser)
    parser.add_argument("--risk", type=float, default=0.01, help="share of wrong answers that is allowed")
    parser.add_argument("--confidence", type=float, default=0.95, help="probability of the guarantee")
    parser.add_argument("--resplits", type=int, default=100)
    parser.add_argument("--num-draws", type=int, default=50, help="weight draws of a prediction")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/selective_risk"))
    return parser.parse_args()


def resplit(predictive: bnn.Predictive, labels: np.ndarray, args: argparse.Namespace, seed: int) -> dict[str, float]:
    """Returns the cut-off that a random half chooses, and what it does to the other half.

    If none keeps the promise, as a number that is not one, the network answers nothing.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    chooses, judges = np.array_split(order, 2)
    try:
        cutoff = bnn.calibrate_cutoff(predictive[chooses], labels[chooses], args.risk, args.confidence)
    except ValueError as error:
        log.warning("%s", error)
        return {"cutoff": math.nan, "coverage": 0.0, "risk": 0.0}
    answers = predictive[judges].decide(cutoff=cutoff)
    answered = answers >= 0
    wrong = (answers != labels[judges])[answered]
    return {"cutoff": cutoff, "coverage": float(answered.mean()), "risk": float(wrong.mean()) if len(wrong) else 0.0}


@themed
def draw(rows: pd.DataFrame, risk: float) -> Figure:
    """Returns each resplit's share of wrong answers against its share of answers."""
    figure, (axes,) = panels(1, 1, (7, 4))
    seaborn.scatterplot(rows, x="coverage", y="risk", color=BLUE, alpha=0.5, ax=axes)
    axes.axhline(risk, color=RED, ls="--", label="allowed")
    axes.set(xlabel="Share of images that are answered", ylabel="Share of answers that are wrong", ylim=(0, None))
    axes.set_title(f"{len(rows)} resplits: a half chooses the cut-off, the other judges it")
    axes.legend()
    return figure


def main() -> None:
    """Predicts once, splits often, and writes everything down."""
    args = parse_arguments()
    reporting.check_at_least_one(args, "resplits", "num_draws")
    for name in ("risk", "confidence"):
        if not 0 < getattr(args, name) < 1:
            raise ScriptError(f"--{name} must lie between 0 and 1. Received: {getattr(args, name)}")
    reporting.make_output_directory(args.output_dir)
    model = reporting.load_model(args.model)
    reporting.check_bayesian(model, args.model)
    dataset = reporting.load_dataset(args.dataset, args.data_dir)
    reporting.check_input_shape(model, dataset)
    devices = reporting.log_devices()
    predictive = bnn.predict(model, dataset.x_test, args.num_draws, seed=args.seed)
    seeds = range(args.seed, args.seed + args.resplits)
    rows = pd.DataFrame([resplit(predictive, dataset.y_test, args, seed) for seed in seeds])
    if rows["cutoff"].isna().all():
        raise ScriptError(
            "No half of the test images chose a cut-off, as said above; take more images or a greater --risk. "
            f"Received: {len(predictive)} images and --risk {args.risk}"
        )
    kept = int((rows["risk"] <= args.risk).sum())
    report = {
        "dataset": dataset.name,
        "error_without_refusal": reporting.quality(predictive, dataset.y_test)["error_percent"] / 100,
        "kept": kept,
        "mean": rows.mean().to_dict(),
        "greatest_risk": float(rows["risk"].max()),
        "resplits_without_cutoff": int(rows["cutoff"].isna().sum()),
        "rows": rows.astype(object).where(rows.notna(), None).to_dict(orient="list"),
        **reporting.provenance(args, devices),
    }
    reporting.save_figure(draw(rows, args.risk), args.output_dir, "selective_risk")
    reporting.write_json(report, args.output_dir / "selective_risk.json")
    log.info("risk at most %g in %d of %d resplits", args.risk, kept, args.resplits)
    log.info("mean risk %.4f, mean share of answers %.3f", rows["risk"].mean(), rows["coverage"].mean())


if __name__ == "__main__":
    reporting.exit_on_error(main)
