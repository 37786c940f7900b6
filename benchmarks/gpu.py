"""What the package does on a GPU, on Keras's JAX backend: speed, and the paper's networks at their full width.

    export KERAS_BACKEND=jax
    python benchmarks/gpu.py speed   # times of training steps, predictions and random normals
    python benchmarks/gpu.py tune    # many recipes for Bayes by Backprop on MNIST, on validation images
    python benchmarks/gpu.py paper   # final trainings with several seeds, on the test images; then pruning

Each writes OUTPUT_DIR/COMMAND.json (of speed, a file for each part) anew after each result, and obeys `--seconds`:
trainings are as long as fits.
`paper` reads what `tune` wrote. MNIST is looked for where TFP_BNN_DATA says.
"""

import argparse
from pathlib import Path

import keras

from benchmarks.on_gpu import paper, speed
from scripts.common import reporting
from scripts.common.places import RESULTS, ROOT
from scripts.common.reporting import ScriptError


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    how = {"formatter_class": argparse.ArgumentDefaultsHelpFormatter}
    for name, seconds in (("speed", 120), ("tune", 200), ("paper", 400)):
        command = commands.add_parser(name, **how)
        command.add_argument("--seconds", type=float, default=seconds, help="how long it may take")
        command.add_argument("--output-dir", type=Path, default=(RESULTS / "gpu").relative_to(ROOT))
        command.add_argument("--quick", action="store_true", help="a trial with tiny networks and few images")
        if name == "speed":
            parts = ("steps", "predictions")
            command.add_argument("--parts", choices=parts, nargs="+", default=parts, help="what is measured")
            continue
        command.add_argument("--reserve", type=float, default=seconds / 5, help="of the seconds, for predictions")
        command.add_argument("--num-draws", type=int, default=100, help="weight draws of a prediction")
        command.add_argument("--epochs", type=int, default=600, help="at most")
        widths = [1200, 400] if name == "tune" else [400, 1200, 800]
        command.add_argument("--widths", type=int, nargs="+", default=widths, help="of the hidden layers")
        if name == "paper":
            command.add_argument("--seeds", type=int, default=3)
            command.add_argument("--adam-epochs", type=int, default=100, help="at most, of the networks with Adam")
            command.add_argument("--initial-stddevs", type=float, nargs="+", default=[0.02, 0.038, 0.06])
            command.add_argument("--sparsities", type=float, nargs="*", default=paper.SPARSITIES)
    return parser.parse_args()


def main() -> None:
    """Runs one of the commands."""
    args = parse_arguments()
    if keras.backend.backend() != "jax":
        raise ScriptError(f"Set KERAS_BACKEND=jax. Received: {keras.backend.backend()}")
    reporting.log_devices()
    {"speed": speed.speed, "tune": paper.tune, "paper": paper.paper}[args.command](args)


if __name__ == "__main__":
    reporting.exit_on_error(main)
