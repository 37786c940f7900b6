"""The tables of docs/results/README.md, made from the JSON files beside it."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from scripts.common.places import RESULTS

WIDTHS = {"mnist": (400, 800, 1200), "fashion_mnist": (200, 400, 800)}
SEEDS = (0, 1, 2)
QUICK_PRESETS = ("gluon-gaussian", "gluon-mixture")
METHODS = ("mixture", "wide-mixture", "learned-mixture", "gaussian", "sgd", "dropout")
OUT_OF_DISTRIBUTION = ("fashion-mnist", "mnist")
PRUNED = ((400, "mixture"), (400, "gaussian"), (1200, "mixture"))

# Test error in percent: of Blundell et al. 2015, table 1, and of the notebooks that followed it.
REFERENCES = {
    ("mnist", "mixture", 400): "paper 1.36",
    ("mnist", "mixture", 800): "paper 1.34",
    ("mnist", "mixture", 1200): "paper 1.32",
    ("mnist", "gaussian", 400): "paper 1.82, seminar notebook 1.63",
    ("mnist", "gaussian", 800): "paper 1.99",
    ("mnist", "gaussian", 1200): "paper 2.04",
    ("mnist", "sgd", 400): "paper 1.83",
    ("mnist", "sgd", 800): "paper 1.84",
    ("mnist", "sgd", 1200): "paper 1.88",
    ("mnist", "dropout", 400): "paper 1.51",
    ("mnist", "dropout", 800): "paper 1.33",
    ("mnist", "dropout", 1200): "paper 1.36",
    ("mnist", "gluon-gaussian", 400): "gluon notebook 2.25",
    ("mnist", "gluon-mixture", 400): "gluon notebook 2.64",
    ("fashion_mnist", "mixture", 200): "seminar notebook 12.63",
    ("fashion_mnist", "mixture", 400): "seminar notebook 13.2",
    ("fashion_mnist", "mixture", 800): "seminar notebook 12.81",
}


QUALITY_DIGITS = {"error_percent": 2, "nll": 3, "ece": 3}


def read(group: str) -> dict[str, dict[str, Any]]:
    """Returns the results of a group, by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((RESULTS / group).glob("*.json"))}


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Returns a table in Markdown."""
    if not rows:
        return "Not run yet."
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def spread(values: Sequence[float], digits: int) -> str:
    """Returns the mean and, of several values, their standard deviation."""
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def mlp_table(dataset: str, methods: Sequence[str]) -> str:
    """Returns the table of the multilayer perceptrons of a data set, a row for each method and width."""
    results, rows = read("mlp"), []
    prefix = dataset.replace("_", "-")
    for method in methods:
        for width in WIDTHS[dataset]:
            middle = f"{prefix}-{method}" if method in QUICK_PRESETS else f"{prefix}-{width}-{method}"
            found = [results[name] for seed in SEEDS if (name := f"{middle}-seed{seed}") in results]
            if found and found[0]["arguments"]["units"] == width:
                rows.append(mlp_row(dataset, method, width, middle, found))
    header = ("network", "others", "mean weights", "one draw", "ensemble", "nll", "ECE", "seeds", "epochs")
    return table((*header, "minutes a run", "the first seed's command and results"), rows)


def mlp_row(dataset: str, method: str, width: int, middle: str, found: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the row of the runs that differ by their seeds alone."""
    tests = [run["test"] for run in found]

    def errors(kind: str) -> str:
        return spread([test[kind]["error_percent"] for test in tests], 2) if kind in tests[0] else ""

    best = "ensemble" if "ensemble" in tests[0] else "mean_weights"
    return [
        f"2x{width}, {method}",
        REFERENCES.get((dataset, method, width), ""),
        *map(errors, ("mean_weights", "one_draw", "ensemble")),
        spread([test[best]["nll"] for test in tests], 4),
        spread([test[best]["ece"] for test in tests], 4),
        str(len(found)),
        f"{found[0]['epochs']:g}",
        f"{np.mean([run['seconds'] for run in found]) / 60:.1f}, {' '.join(found[0]['devices'])}",
        f"`{command_of(found[0])}`; [{middle}](mlp/{middle}-seed0.json)",
    ]


def command_of(result: dict[str, Any]) -> str:
    """Returns the command of a result, without where it wrote and that it might have gone on."""
    words = result["command"].removesuffix(" --resume").split()
    at = words.index("--output-dir") if "--output-dir" in words else len(words)
    return " ".join(words[:at] + words[at + 2 :])


def pruning_table(name: str) -> str:
    """Returns test error against sparsity, a column for each network."""
    rows = [row for row in read("pruning").get(name, {"rows": []})["rows"] if row["images"] == "test"]
    networks = list(dict.fromkeys(row["network"] for row in rows))
    sparsities = list(dict.fromkeys(row["sparsity"] for row in rows))
    errors = {(row["sparsity"], row["network"]): row["error_percent"] for row in rows}
    kept = {row["sparsity"]: row["weights_kept"] for row in rows if row["network"] == networks[0]}
    lines = [
        (f"{100 * sparsity:g} %", f"{kept[sparsity]:,}", *(f"{errors[sparsity, network]:.2f}" for network in networks))
        for sparsity in sparsities
    ]
    return table(("pruned", "weights kept of the Bayesian network", *networks), lines)


def bandit_table() -> str:
    """Returns the regret of each agent at the end, the longest games first."""
    results = sorted(read("bandit").items(), key=lambda item: -item[1]["arguments"]["plays"])
    lines = [
        (
            agent,
            found["seeds"],
            f"{result['arguments']['plays']:,}",
            *(f"{value:,.0f}" for value in quartiles(found)),
            f"[{name}](bandit/{name}.json)",
        )
        for name, result in results
        for agent, found in result["regret"].items()
    ]
    return table(("agent", "seeds", "plays", "lower quartile", "median regret", "upper quartile", "results"), lines)


def quartiles(found: dict[str, Any]) -> tuple[float, float, float]:
    """Returns lower quartile, median and upper quartile."""
    lower, upper = found["quartiles"]
    return lower, found["median"], upper


def small_data_table() -> str:
    """Returns error, nll and ECE against the number of training images, a row for each network and number."""
    lines = []
    for result in read("small_data").values():
        for (size, network), rows in grouped(result["rows"], "size", "network").items():
            figures = [spread([row[name] for row in rows], digits) for name, digits in QUALITY_DIGITS.items()]
            lines.append((f"{size:,}", network, *figures, len(rows)))
    return table(("training images", "network", "error", "nll", "ECE", "seeds"), lines)


def grouped(rows: Sequence[dict[str, Any]], *names: str) -> dict[tuple, list[dict[str, Any]]]:
    """Returns rows by their values of these names, in order."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row[names[0]]):
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


def network_table(name: str) -> str:
    """Returns cost, quality on test images and mean entropies, a row for each network."""
    lines = [
        (
            network,
            f"{found['parameters']:,}",
            f"{found['seconds_of_training'] / 60:.0f}",
            f"{found['seconds_of_prediction']:.0f}",
            f"{found['test']['error_percent']:.2f}",
            *(f"{found['test'][measure]:.4f}" for measure in ("nll", "ece", "brier")),
            *(f"{found['entropy'][kind]:.2f}" for kind in ("test", "gaussian_noise", "uniform_noise")),
        )
        for network, found in networks_of(name).items()
    ]
    costs = ("network", "parameters", "minutes of training", "seconds of prediction")
    entropies = ("entropy of test images", "of Gaussian noise", "of uniform noise")
    return table((*costs, "error", "nll", "ECE", "Brier", *entropies), lines)


def detection_table(name: str) -> str:
    """Returns the AUROC of images unlike the known ones, a row for each network and score."""
    networks = networks_of(name)
    kinds = list(next(iter(networks.values()))["detection"]) if networks else []
    lines = [
        (network, score, *(f"{found['detection'][kind][score]['auroc']:.3f}" for kind in kinds))
        for network, found in networks.items()
        for score in found["detection"][kinds[0]]
    ]
    return table(("network", "score", *(kind.replace("_", " ") for kind in kinds)), lines)


def networks_of(name: str) -> dict[str, Any]:
    """Returns the networks of an out-of-distribution experiment, by name."""
    return read("out_of_distribution").get(name, {"networks": {}})["networks"]


def uci_table() -> str:
    """Returns the test figures of the UCI sets, a row for each set and method."""

    def measure(found: dict[str, Any], name: str, digits: int) -> str:
        value = found[name]
        error = value["standard_error"]
        return f"{value['mean']:.{digits}f}" + ("" if error is None else f" ± {error:.{digits}f}")

    def noise(result: dict[str, Any], name: str, method: str) -> str:
        rows = [row for row in result["rows"] if (row["set"], row["method"]) == (name, method)]
        return rows[0].get("likelihood", "normal")

    lines = [
        (
            name,
            method,
            noise(result, name, method),
            measure(found, "log_likelihood", 2),
            f"{found['log_likelihood_in_literature']:.2f}",
            measure(found, "rmse", 3),
            *(f"{found[kind]['mean']:.3f}" for kind in ("coverage", "width")),
            found["splits"],
        )
        for result in read("uci").values()
        for name, methods in result["summary"].items()
        for method, found in methods.items()
    ]
    header = ("set", "method", "noise", "log-likelihood", "literature", "RMSE", "coverage", "width", "splits")
    return table(header, lines)


def posteriors_table() -> str:
    """Returns the log-likelihood of validation rows of the UCI sets, a row for each posterior."""
    path = RESULTS / "posteriors.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    sets, posteriors = (list(dict.fromkeys(row[name] for row in rows)) for name in ("set", "posterior"))
    found = {(row["set"], row["posterior"]): row for row in rows}
    lines = []
    for posterior in posteriors:
        of_sets = [found[name, posterior] for name in sets]
        cells = [f"{row['log_likelihood']:.2f} ± {row['standard_error']:.2f}" for row in of_sets]
        lines.append((posterior, *cells, f"{sum(row['seconds'] for row in of_sets) / len(sets):.1f}"))
    return table(("posterior", *sets, "seconds a network"), lines)


def lenet5_table() -> str:
    """Returns how LeNet5 does on test and noise images, a row for each data set."""
    lines = [
        (
            result["dataset"],
            f"{result['steps']:,}",
            f"{result['seconds'] / 60:.0f}, {result['devices'][0]}",
            f"{100 * result['heldout']['accuracy']:.2f}",
            f"{result['heldout']['nll']:.4f}",
            f"{result['heldout']['ece']:.4f}",
            *(f"{result[kind]['mean_entropy']:.2f}" for kind in ("heldout", "gaussian_noise", "uniform_noise")),
            at_temperature(result),
            f"`{command_of(result)}`; [JSON](lenet5/{name}.json)",
        )
        for name, result in read("lenet5").items()
    ]
    header = ("data", "steps", "minutes", "accuracy", "nll", "ECE")
    entropies = ("entropy of test images", "of Gaussian noise", "of uniform noise")
    scaled = "at temperature: nll, ECE, of Gaussian noise"
    return table((*header, *entropies, scaled, "command and results"), lines)


def at_temperature(result: dict[str, Any]) -> str:
    """Returns what LeNet5's figures are at the temperature of its validation images; nothing if it was not sought."""
    if "temperature" not in result:
        return ""
    scaled = result["at_temperature"]
    test, noise = scaled["heldout"], scaled["gaussian_noise"]
    return f"{result['temperature']:.2f}: {test['nll']:.4f}, {test['ece']:.4f}, {noise['mean_entropy']:.2f}"


TABLES: dict[str, Callable[[], str]] = {
    "quick": lambda: mlp_table("mnist", QUICK_PRESETS),
    "mnist": lambda: mlp_table("mnist", METHODS),
    "fashion_mnist": lambda: mlp_table("fashion_mnist", METHODS),
    **{f"pruning-{width}-{method}": partial(pruning_table, f"mnist-{width}-{method}") for width, method in PRUNED},
    "bandit": bandit_table,
    "small_data": small_data_table,
    **{f"networks-{name}": partial(network_table, name) for name in OUT_OF_DISTRIBUTION},
    **{f"detection-{name}": partial(detection_table, name) for name in OUT_OF_DISTRIBUTION},
    "uci": uci_table,
    "posteriors": posteriors_table,
    "lenet5": lenet5_table,
}
