"""Shows what a saved image classifier knows: predictions, with uncertainty, of held-out and of noise images.

OUTPUT_DIR (by default the model's directory) then holds heldout.png, noise.png, weights.png, uncertainty.png and
uncertainty.json with accuracy, held-out nats, calibration, entropies and the share of images that are refused.
"""

import argparse
from pathlib import Path

import tfp_bnn as bnn
from scripts.common import reporting
from scripts.common.reporting import NUM_PICTURES, log


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("model", type=Path, help="model.keras as scripts/train_lenet5.py writes it")
    reporting.add_prediction_arguments(parser)
    parser.add_argument("--num-noise", type=int, default=1000, help="noise images of each kind")
    parser.add_argument("--output-dir", type=Path, help="default: the model's directory")
    return parser.parse_args()


def main() -> None:
    """Predicts, draws, and writes everything down."""
    args = parse_arguments()
    reporting.check_at_least_one(args, "num_draws", "num_noise")
    reporting.check_share(args, "cutoff")
    directory = args.output_dir or args.model.parent
    reporting.make_output_directory(directory)
    model = reporting.load_model(args.model)
    reporting.check_bayesian(model, args.model)
    dataset = reporting.load_dataset(args.dataset, args.data_dir)
    reporting.check_input_shape(model, dataset)
    images = {"heldout": dataset.x_test}
    images |= reporting.noise_images(args.num_noise, dataset.x_test.shape[1:], args.seed)
    log.info("predicting with %d draws", args.num_draws)
    predictives = {name: bnn.predict(model, x, args.num_draws, seed=args.seed) for name, x in images.items()}

    shown = slice(NUM_PICTURES)
    labels, names = dataset.y_test[shown], dataset.class_names
    held_out, noise = predictives["heldout"], predictives["gaussian_noise"]
    pictures = {
        "heldout": bnn.plots.predictions(images["heldout"][shown], held_out[shown], labels, names),
        "noise": bnn.plots.predictions(images["gaussian_noise"][shown], noise[shown], None, names),
        "weights": bnn.plots.weight_posteriors(model),
        "uncertainty": bnn.plots.uncertainty(predictives),
    }
    for name, figure in pictures.items():
        reporting.save_figure(figure, directory, name)

    metrics = {name: reporting.uncertainty_metrics(p, args.cutoff) for name, p in predictives.items()}
    metrics["heldout"] |= reporting.accuracy_metrics(held_out, dataset.y_test, args.cutoff)
    metrics |= {
        "dataset": dataset.name,
        "source": dataset.source,
        "num_draws": args.num_draws,
        "cutoff": args.cutoff,
        "command": reporting.command(),
        "versions": reporting.versions(),
    }
    reporting.write_json(metrics, directory / "uncertainty.json")
    log.info(
        "test accuracy %.4f, %.4f nats an image", metrics["heldout"]["accuracy"], metrics["heldout"]["log_likelihood"]
    )


if __name__ == "__main__":
    reporting.exit_on_error(main)
