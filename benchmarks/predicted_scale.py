"""Measures which function of an output makes the best predicted scale: where it starts, and where training ends.

Run by hand, on Keras's JAX backend: `KERAS_BACKEND=jax python benchmarks/predicted_scale.py`. It prints a table and
writes docs/results/predicted_scale.json.

A network of two outputs predicts loc and scale of normal targets. What differs between candidates is the link alone,
the function from the second output to the scale. Inputs are what people give: standardized or raw, whose first outputs
may be as large as the inputs are. The loss of the first and of the last weights is the held-out one, of the mean over
draws, in nats.

Source of the demonstration curve: TensorFlow Probability's tutorial "Probabilistic Layers Regression".
"""

import argparse
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import scipy.special
from tqdm import auto as tqdm

import tfp_bnn as bnn
from scripts.common import reporting
from scripts.common.places import RESULTS
from scripts.data import uci_data
from scripts.learning.learning_loop import compiled_steps

UCI_SETS = ("concrete", "yacht", "boston")
SETS = ("curve, raw", "curve, standardized", *UCI_SETS)
UNITS, BATCH_SIZE, LEARNING_RATE, NUM_DRAWS = 32, 32, 0.01, 20
VALIDATION_SHARE = 0.2
# A start or an end that is worse than this is useless: a fixed scale of 1 has 1.4 for standardized targets.
EXPLODED = 100.0

Tensor = Any
Data = tuple[np.ndarray, np.ndarray]


def softplus(x: Tensor) -> Tensor:
    """Returns the link of version 0.1."""
    return keras.ops.softplus(x)


def shifted_softplus(x: Tensor) -> Tensor:
    """Returns softplus, shifted so that 0 gives 1."""
    return keras.ops.softplus(x + math.log(math.e - 1))


def squareplus(x: Tensor) -> Tensor:
    """Returns `(x + sqrt(x^2 + 4)) / 2 = exp(asinh(x / 2))`, of a sum that does not cancel."""
    larger = 0.5 * (keras.ops.abs(x) + keras.ops.sqrt(keras.ops.square(x) + 4))
    return keras.ops.where(x < 0, 1 / larger, larger)


def bounded_exp(x: Tensor) -> Tensor:
    """Returns an exponential between exp(-5) and exp(5)."""
    return keras.ops.exp(5 * keras.ops.tanh(x / 5))


# Each: the link and what is added to it.
CANDIDATES = {
    "softplus, 1e-7 (version 0.1)": (softplus, 1e-7),
    "softplus, 1e-3": (softplus, 1e-3),
    "shifted softplus, 1e-3": (shifted_softplus, 1e-3),
    "squareplus, 0": (squareplus, 0.0),
    "squareplus, 1e-3": (squareplus, 1e-3),
    "squareplus, 1e-2": (squareplus, 1e-2),
    "bounded exponential, 0": (bounded_exp, 0.0),
}


class LinkedNormal(keras.losses.Loss):
    """Normal targets whose scale is `link(output) + floor`."""

    def __init__(self, link: Callable[[Tensor], Tensor], floor: float):
        super().__init__(name="nll")
        self.link, self.floor = link, floor

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Returns the nats of each row."""
        loc, output = keras.ops.split(y_pred, 2, axis=-1)
        scale = self.link(output) + self.floor
        nats = 0.5 * keras.ops.square((y_true - loc) / scale) + keras.ops.log(scale)
        return keras.ops.squeeze(nats, -1) + 0.5 * math.log(2 * math.pi)


def curve(seed: int, rows: int = 300) -> Data:
    """Returns inputs from -20 to 60 and targets of the tutorial, both as they are."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-20, 60, (rows, 1))
    noise = 0.25 + np.square((x + 20) / 80)
    return x, 0.125 * x * (1 + np.sin(x)) + 5 + noise * rng.normal(size=x.shape)


def made_table(seed: int, rows: int = 300) -> Data:
    """Returns inputs whose columns differ in scale by a thousand, and targets that depend on them."""
    rng = np.random.default_rng(seed)
    standard = rng.normal(size=(rows, 6))
    y = np.sin(standard @ rng.normal(size=(6, 1))) + 0.1 * rng.normal(size=(rows, 1))
    return 10 ** np.linspace(-1, 2, 6) * (standard + 2), y


def standardized(values: np.ndarray) -> np.ndarray:
    """Returns columns of mean 0 and standard deviation 1."""
    return (values - values.mean(axis=0)) / values.std(axis=0)


def load(name: str, seed: int, data_dir: str | None) -> tuple[Data, Data]:
    """Returns the rows of training and of validation of a seed, float32."""
    if name.startswith("curve"):
        x, y = curve(seed)
        x, y = (standardized(x), standardized(y)) if name.endswith("standardized") else (x, y)
    elif name.startswith("made"):
        x, y = made_table(int(name[-1]))
        y = standardized(y)
    else:
        data = uci_data.load(name, data_dir)
        x, y = data.x, standardized(data.y[:, np.newaxis])
    rows = np.random.default_rng(seed).permutation(len(x))
    held_out = round(VALIDATION_SHARE * len(x))
    x, y = (values[rows].astype("float32") for values in (x, y))
    return (x[held_out:], y[held_out:]), (x[:held_out], y[:held_out])


def set_names(data_dir: str | None) -> list[str]:
    """Returns the names of the data sets: without the UCI sets on disk, made tables take their place."""
    try:
        uci_data.load(UCI_SETS[0], data_dir)
    except reporting.ScriptError:
        return [*SETS[:2], "made 1", "made 2", "made 3"]
    return list(SETS)


def make_model(num_inputs: int, loss: LinkedNormal) -> keras.Model:
    """Returns a network, compiled and built."""
    model = bnn.models.mlp((num_inputs,), [UNITS, UNITS], num_outputs=2)
    model.compile(keras.optimizers.Adam(LEARNING_RATE), loss=loss)
    model.optimizer.build(model.trainable_variables)
    return model


def held_out_nats(model: keras.Model, loss: LinkedNormal, data: Data, seed: int) -> float:
    """Returns the mean nats of the mean over draws."""
    x, y = data
    outputs = bnn.predict(model, x, NUM_DRAWS, likelihood=bnn.likelihoods.Normal(), seed=seed, verbose=False).outputs
    nats = np.stack([keras.ops.convert_to_numpy(loss.call(y, draw)) for draw in outputs]).astype("float64")
    return float((math.log(len(outputs)) - scipy.special.logsumexp(-nats, axis=0)).mean())


def measure(candidate: str, name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Returns held-out nats of the first and the last weights, over seeds."""
    loss = LinkedNormal(*CANDIDATES[candidate])
    model, first, last = None, [], []
    for seed in range(args.seed, args.seed + args.seeds):
        train, validation = load(name, seed, args.data_dir)
        keras.utils.set_random_seed(seed)
        new = make_model(train[0].shape[1], loss)
        if model is None:
            model, learn = new, compiled_steps(new, lambda x, y: (x, y))
        else:
            for variable, value in zip(_state(model), _state(new), strict=True):
                variable.assign(value)
        for layer in bnn.layers.variational_layers(model):
            layer.kl_weight = 1 / len(train[0])
        first.append(held_out_nats(model, loss, validation, seed))
        rows = np.random.default_rng(seed).integers(len(train[0]), size=(args.steps, BATCH_SIZE))
        learn(train[0][rows], train[1][rows])
        last.append(held_out_nats(model, loss, validation, seed))
    return {"first": figures(first), "last": figures(last)}


def _state(model: keras.Model) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]


def figures(nats: list[float]) -> dict[str, Any]:
    """Returns the median and the worst of some seeds, and how many exploded or are not a number."""
    # What is not a number is worse than any.
    nats = np.nan_to_num(np.array(nats), nan=np.inf)
    found = {"median": np.median(nats), "worst": nats.max()}
    rounded = {name: float(f"{value:.4g}") if value < np.inf else "inf" for name, value in found.items()}
    return {**rounded, "exploded": int((nats >= EXPLODED).sum())}


def markdown(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns a table: of each set, median and worst nats of the first and of the last weights."""
    lines = [["data", "link", "first", "worst", "last", "worst", "exploded"], ["---"] * 7]
    for name, links in results.items():
        for link, row in links.items():
            cells = [row[when][figure] for when in ("first", "last") for figure in ("median", "worst")]
            lines.append([name, link, *cells, row["last"]["exploded"]])
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def main() -> None:
    """Measures, prints the table and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="networks of each link on each set")
    parser.add_argument("--steps", type=int, default=1000, help="training steps of each")
    parser.add_argument("--data-dir", help="directory with uci/NAME.npz; without it TFP_BNN_DATA, else made tables")
    parser.add_argument("--json", type=Path, default=RESULTS / "predicted_scale.json", help="the results")
    parser.add_argument("--seed", type=int, default=0, help="the first seed, of data, weights and noise")
    args = parser.parse_args()
    reporting.check_at_least_one(args, "seeds", "steps")
    started, names = time.perf_counter(), set_names(args.data_dir)
    runs = [(name, candidate) for name in names for candidate in CANDIDATES]
    results: dict[str, dict[str, Any]] = {name: {} for name in names}
    for name, candidate in tqdm.tqdm(runs, unit="network", disable=None):
        results[name][candidate] = measure(candidate, name, args)
    found = reporting.provenance(args, keras.distribution.list_devices())
    # Where it was run says nothing about the result.
    found["arguments"] = {"seeds": args.seeds, "steps": args.steps, "seed": args.seed}
    found["command"] = (
        f"KERAS_BACKEND={keras.backend.backend()} python benchmarks/predicted_scale.py --seeds {args.seeds}"
        f" --steps {args.steps} --seed {args.seed}"
    )
    content = {**found, "seconds": round(time.perf_counter() - started, 1), "exploded_from_nats": EXPLODED}
    args.json.parent.mkdir(parents=True, exist_ok=True)
    reporting.write_json({**content, "nats": results}, args.json)
    print(f"{markdown(results)}\n\nWrote {args.json}")


if __name__ == "__main__":
    reporting.exit_on_error(main)
