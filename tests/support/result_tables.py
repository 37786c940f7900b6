"""The tables of README.md and docs/guides, made from the files of docs/results: the pages must hold them as they are.

`python -m tests.support.result_tables` prints them all, to be pasted where a test says that a page has an older one.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def read(name: str) -> Any:
    """Returns a result file of docs/results."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Returns a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def of_defaults(choices: dict[str, str]) -> str:
    """Returns the nll of some choices, by task; `choices` says what the file calls a column."""
    found = read("defaults/defaults")["nll"]
    rows = [[task, *(f"{nll[choice]:.3f}" for choice in choices.values())] for task, nll in found.items()]
    return table(["validation nll, nats", *choices], rows)


def priors() -> str:
    start = "start 0.3 by fan-in, warm-up"
    return of_defaults(
        {
            "`Normal(scale=1.0)`": start,
            "`Normal(scale=0.3)`": f"{start}, prior 0.3",
            "`ScaleMixture(trainable=True)`": f"{start}, mixture learned",
        }
    )


def priors_pruned() -> str:
    rows = []
    for label, name in (("Gaussian, scale 1", "gaussian"), ("scale mixture", "mixture")):
        found = {
            row["sparsity"]: row["error_percent"]
            for row in read(f"pruning/mnist-400-{name}")["rows"]
            if (row["images"], row["network"]) == ("test", "mean weights")
        }
        rows.append([label, *(f"{found[sparsity]:.2f}" for sparsity in (0.0, 0.5, 0.75, 0.95, 0.98))])
    return table(["test error, %", "all weights", "without 50 %", "without 75 %", "without 95 %", "without 98 %"], rows)


def starts() -> str:
    return of_defaults({start: f"start {start}" for start in ("0.05", "0.02", "0.1 by fan-in", "0.3 by fan-in")})


def starts_of_lenet5() -> str:
    rows = []
    for start, name in (("0.05", "mnist-cautious"), ("0.007", "mnist-relu")):
        found = read(f"lenet5/{name}")
        heldout = found["heldout"]
        cells = f"{100 * heldout['accuracy']:.2f}", f"{heldout['nll']:.4f}", f"{heldout['ece']:.4f}"
        rows.append([start, *cells, f"{found['gaussian_noise']['mean_entropy']:.2f}"])
    return table(["start", "accuracy, %", "nll", "ECE", "entropy on Gaussian noise"], rows)


def estimators() -> str:
    found, variances = read("speed")["results"], read("gradient_variance")["rows"]
    rows = []
    for name in ("reparameterization", "antithetic", "flipout", "local_reparameterization"):
        costs = [
            f"{_ratio(found, network, name, backend):.2f}"
            for network in ("LeNet5", "2x400")
            for backend in ("TensorFlow", "JAX")
        ]
        lenet5 = {
            row["parameters"]: row[name]["ratio"]["value"]
            for row in variances
            if (row["network"], row["posterior_stddev"], row["kernel"]) == ("lenet5", 0.05, "all")
        }
        rows.append([f'`"{name}"`', *costs, f"{lenet5['means']:.3f}", f"{lenet5['rhos']:.3f}"])
    header = ["estimator", "LeNet5, TensorFlow", "LeNet5, JAX", "2x400, TensorFlow", "2x400, JAX"]
    return table([*header, "variance: means", "variance: rhos"], rows)


def _ratio(found: dict[str, Any], network: str, estimator: str, backend: str) -> float:
    """Returns the cost of a step beside the deterministic one, with or without XLA, whatever is faster: over rounds."""
    label = {"local_reparameterization": "LocalReparameterization"}.get(estimator, estimator.capitalize())
    work = found[f"{network}, {label} with a normal prior, a step"]

    def modes(library: str) -> list[Sequence[float]]:
        return [work[name]["seconds"] for name in work if name.startswith(f"{library}, {backend}")]

    ours = min(modes("tfp_bnn"), key=np.median)
    return float(np.median(ours / np.min(modes("deterministic Keras"), axis=0)))


def warm_ups() -> str:
    return of_defaults({"no warm-up": "start 0.05", "warm-up": "warm-up"})


def warm_ups_of_paper() -> str:
    names = {
        "none": "mixture {}, 6, 0.5, warmup 0",
        "60 % of the epochs": "mixture {}, 6, 0.5",
        "90 % of the epochs": "mixture {}, 6, 0.5, warmup 0.9",
    }
    found = {(row["width"], row["name"]): row for row in read("gpu/tune")["results"]}
    rows = [
        [
            warm_up,
            *(
                _error_and_nll(found.get((width, name.format(component))))
                for component in (0, 2)
                for width in (400, 1200)
            ),
        ]
        for warm_up, name in names.items()
    ]
    header = [f"2x{width}, wide component {sigma}" for sigma in ("1", "e^-2") for width in (400, 1200)]
    return table(["warm-up", *header], rows)


def temperings() -> str:
    rows = []
    for label, posterior in (
        ("`beta=1`, Bayes", "mean field, reparameterization"),
        ("`beta=0.3`", "mean field, KL term at 0.3"),
    ):
        cells = []
        for name in ("concrete", "energy", "yacht"):
            found = [
                row["log_likelihood"]
                for row in read("posteriors")["rows"]
                if (row["set"], row["posterior"]) == (name, posterior)
            ]
            cells.append(f"{-np.mean(found):.2f}")
        rows.append([label, *cells])
    return table(["validation nll, nats", "concrete", "energy", "yacht"], rows)


def learning_rates() -> str:
    found = {(row["width"], row["name"]): row for row in read("gpu/tune")["results"]}
    names = {"0.0003": ", learning_rate 0.0003", "0.001": "", "0.003": ", learning_rate 0.003"}
    rows = [
        [rate, *(_error_and_nll(found[width, f"mixture 2, 6, 0.5{suffix}"]) for width in (400, 1200))]
        for rate, suffix in names.items()
    ]
    return table(["Adam, falling to 0", "2x400", "2x1200"], rows)


def _error_and_nll(row: dict[str, Any] | None) -> str:
    return "-" if row is None else f"{row['validation_error_percent']:.2f} %, {row['validation_nll']:.4f}"


def draws() -> str:
    rows = []
    for label, name in (
        ("MNIST, 2x400, Gaussian prior", "mnist-400-gaussian"),
        ("MNIST, 2x400, scale mixture", "mnist-400-mixture"),
        ("Fashion-MNIST, 2x400, Gaussian prior", "fashion-mnist-400-gaussian"),
    ):
        test = read(f"mlp/{name}-seed0")["test"]
        rows.append(
            [label, *(f"{test[of]['error_percent']:.2f}" for of in ("one_draw", "mean_weights", "ensemble"))]
            + [f"{test[of]['nll']:.3f}" for of in ("one_draw", "mean_weights", "ensemble")]
        )
    header = ["error: 1 draw", "mean weights", "100 draws", "nll: 1 draw", "mean weights", "100 draws"]
    return table(["test images", *header], rows)


def draws_until_settled() -> str:
    rows = []
    for label, name in (("Fashion-MNIST", "fashion-mnist"), ("MNIST", "mnist")):
        found = read(f"anytime/{name}")
        rows.append(
            [
                label,
                f"{found['decisions']['mean_draws']:.1f}",
                f"{found['probabilities']['mean_draws']:.1f}",
                f"{100 * found['decisions']['decisions_that_differ']:.1f} %",
            ]
        )
    settled = ["draws until the decision is settled", "until the probabilities are", "decisions that 500 draws change"]
    return table(["LeNet5", *settled], rows)


def cutoffs() -> str:
    found = read("selective_risk/mnist-400-gaussian")
    rows = [
        ["no cut-off", "100.0 %", f"{100 * found['error_without_refusal']:.2f} %", "-"],
        [
            "`calibrate_cutoff(risk=0.01)`",
            f"{100 * found['mean']['coverage']:.1f} %",
            f"{100 * found['mean']['risk']:.2f} %",
            f"{found['kept']} of {len(found['rows']['cutoff'])}",
        ],
    ]
    return table(["MNIST, 2x400", "answered", "wrong among the answers", "resplits with at most 1 % wrong"], rows)


def refusals() -> str:
    rows = []
    for label, name in (
        ("MNIST, default", "mnist"),
        ("MNIST, wide start (0.05)", "mnist-cautious"),
        ("MNIST, narrow start (0.007)", "mnist-relu"),
        ("Fashion-MNIST, narrow start", "fashion-mnist-relu"),
    ):
        found = read(f"lenet5/{name}")
        rows.append(
            [label]
            + [f"{100 * found[of]['fraction_refused']:.1f} %" for of in ("heldout", "gaussian_noise", "uniform_noise")]
        )
    return table(["LeNet5, refused at 0.5", "test images", "Gaussian noise", "uniform noise"], rows)


def temperatures() -> str:
    rows = []
    for label, name in (("MNIST", "mnist"), ("Fashion-MNIST, 15,000 steps", "fashion-mnist-long")):
        found = read(f"lenet5/{name}")
        for temperature, part in ((1.0, found), (found["temperature"], found["at_temperature"])):
            heldout = part["heldout"]
            rows.append(
                [
                    *(label, f"{temperature:.2f}", f"{100 * heldout['accuracy']:.2f}", f"{heldout['nll']:.4f}"),
                    *(f"{heldout['ece']:.4f}", f"{part['gaussian_noise']['mean_entropy']:.2f}"),
                ]
            )
    return table(["LeNet5", "temperature", "accuracy, %", "nll", "ECE", "entropy on Gaussian noise"], rows)


def temperatures_of_converted() -> str:
    found = read("convert/fashion-mnist")["mean"]
    rows = []
    for name in ("plain, trained on", "Bayesian, trained on"):
        for suffix in ("", ", at its temperature"):
            row = found[f"{name}{suffix}"]
            rows.append([name, f"{row.get('temperature', 1.0):.2f}", f"{row['nll']:.4f}", f"{row['ece']:.4f}"])
    return table(["small CNN, Fashion-MNIST", "temperature", "nll", "ECE"], rows)


def steps_on_gpu() -> str:
    found = {
        (row["network"], row["policy"], row["batch_size"], row["kind"]): row for row in read("gpu/speed_steps")["steps"]
    }
    rows = []
    for network, policy, size in (
        ("2x1200", "float32", 128),
        ("2x1200", "float32", 8192),
        ("2x1200", "mixed_bfloat16", 8192),
        ("LeNet5", "float32", 128),
        ("LeNet5", "float32", 8192),
    ):
        plain = found[network, policy, size, "deterministic"]["milliseconds"]
        kinds = ("reparameterization", "flipout", "local_reparameterization")
        ratios = (f"{found[network, policy, size, kind]['ratio']:.2f}" for kind in kinds)
        rows.append([f"{network}, {policy}, batch {size:,}", f"{plain:.3f}", *ratios])
    header = ["plain, ms", "reparameterization", "Flipout", "local reparameterization"]
    return table(["a training step", *header], rows)


def of_readme() -> str:
    found = read("out_of_distribution/fashion-mnist")["networks"]
    networks = {name: found[name] for name in ("Bayes by Backprop", "plain", "MC dropout", "ensemble of 5")}

    def row(
        label: str, digits: int, figure: Callable[[dict[str, Any]], float], best: Callable[..., float]
    ) -> list[str]:
        cells = [f"{figure(network):.{digits}f}" for network in networks.values()]
        return [label, *(f"**{cell}**" if cell == best(cells, key=float) else cell for cell in cells)]

    rows = [
        row("test error, %", 2, lambda network: network["test"]["error_percent"], min),
        row("negative log-likelihood, nats an image", 3, lambda network: network["test"]["nll"], min),
        row("expected calibration error", 3, lambda network: network["test"]["ece"], min),
        row(
            "AUROC of telling MNIST from garments",
            3,
            lambda network: max(score["auroc"] for score in network["detection"]["mnist"].values()),
            max,
        ),
        row("entropy on Gaussian noise, nats of 2.30 at most", 2, lambda each: each["entropy"]["gaussian_noise"], max),
    ]
    return table(["", "Bayesian", "plain", "MC dropout", "ensemble of 5"], rows).replace("|  |", "| |", 1)


TABLES: dict[str, Sequence[Callable[[], str]]] = {
    "README.md": (of_readme,),
    "docs/guides/prior.md": (priors, priors_pruned),
    "docs/guides/posterior_start.md": (starts, starts_of_lenet5),
    "docs/guides/estimator.md": (estimators,),
    "docs/guides/kl_weight.md": (warm_ups, warm_ups_of_paper, temperings),
    "docs/guides/learning_rate.md": (learning_rates,),
    "docs/guides/draws.md": (draws, draws_until_settled),
    "docs/guides/cutoff.md": (cutoffs, refusals),
    "docs/guides/temperature.md": (temperatures, temperatures_of_converted),
    "docs/scaling.md": (steps_on_gpu,),
}
"""By page, what makes its tables."""


if __name__ == "__main__":
    for page, makers in TABLES.items():
        for make in makers:
            print(f"{page}, {make.__name__}\n\n{make()}\n")
