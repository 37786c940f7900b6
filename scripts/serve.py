"""Serves a saved Bayesian model over HTTP: JSON or an image in, an answer with its doubt out, or a refusal.

POST /predict takes JSON, {"inputs": [...]}, POST /predict/image a PNG or JPEG file, GET /health says what is served.
For image classifiers GET / is a page to draw on, which shows what each draw of the weights says.
"""

import argparse
from pathlib import Path

from scripts.common import reporting
from scripts.common.reporting import ScriptError, log
from tfp_bnn._extras import needed


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("model", type=Path, help="model.keras as scripts/train_*.py write it")
    parser.add_argument("--num-draws", type=int, default=50, help="weight draws of a prediction")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws; all requests have the same")
    parser.add_argument("--cutoff", type=float, default=0.5, help="refuse to classify below this probability")
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="of a classifier: what the logits of each draw are divided by"
    )
    parser.add_argument("--class-names", nargs="+", default=[], metavar="NAME", help="one for each class, in order")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 is open to the network")
    parser.add_argument("--port", type=int, default=8000)
    return parser.parse_args()


def main() -> None:
    """Loads the model, tries it, and answers requests until it is interrupted."""
    args = parse_arguments()
    reporting.check_at_least_one(args, "num_draws")
    reporting.check_share(args, "cutoff")
    reporting.check_positive(args, "temperature")
    if not 0 < args.port < 2**16:
        raise ScriptError(f"--port must be from 1 to {2**16 - 1}. Received: --port {args.port}")
    try:
        with needed("serve"):
            import uvicorn

            from scripts.serving.app import make_app
    except ImportError as error:
        raise ScriptError(str(error)) from error
    from scripts.serving.served_model import ServedModel

    model = reporting.load_model(args.model)
    reporting.check_bayesian(model, args.model)
    reporting.log_devices()
    served = ServedModel(
        model,
        name=args.model.name,
        num_draws=args.num_draws,
        seed=args.seed,
        cutoff=args.cutoff,
        temperature=args.temperature,
        class_names=tuple(args.class_names),
    )
    app = make_app(served)
    log.info("listens at http://%s:%d; Ctrl-C ends it", args.host, args.port)
    uvicorn.run(app, host=args.host, port=args.port, log_level="warning")


if __name__ == "__main__":
    reporting.exit_on_error(main)
