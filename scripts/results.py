"""Runs the experiments whose results are committed, and fills the tables of docs/results/README.md from them.

    python scripts/results.py --quick             # the shortest ones, anew, into runs/results
    python scripts/results.py --only mlp/mnist    # those whose names begin so and that have no result yet
    python scripts/results.py --only lenet5/mnist --again    # the same, those that have one too
    python scripts/results.py                     # nothing but the page, and the pictures of models in runs/results

Each experiment leaves docs/results/GROUP/NAME.json, with the command, versions and seed that made it, and its picture.
"""

import argparse
import dataclasses
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.common import reporting
from scripts.common.places import RESULTS, ROOT
from scripts.common.reporting import ScriptError, log
from scripts.result_pages import figures
from scripts.result_pages.tables import PRUNED, QUICK_PRESETS, SEEDS, TABLES, WIDTHS

PAGE = RESULTS / "README.md"

LENET5 = {
    "mnist": "--dataset mnist",
    "mnist-all-images": "--dataset mnist --num-validation 100",
    "mnist-relu-tanh": "--dataset mnist --initial-stddev 0.007",
    "mnist-relu": "--dataset mnist --dense-activation relu --initial-stddev 0.007",
    "mnist-cautious": (
        "--dataset mnist --dense-activation relu --initial-stddev 0.05 --prior-scale 1 --lr-schedule constant"
    ),
    "fashion-mnist-long": (
        "--dataset fashion_mnist --estimator reparameterization --max-steps 15000 --num-validation 5000"
    ),
    "fashion-mnist-tanh": "--dataset fashion_mnist --activation tanh --initial-stddev 0.007",
    "fashion-mnist-relu": "--dataset fashion_mnist --dense-activation relu --initial-stddev 0.007 --num-validation 100",
    "fashion-mnist-relu-tanh": "--dataset fashion_mnist --initial-stddev 0.02 --num-validation 100",
}

ARGUMENTS = {
    "mixture": "--preset blundell-mixture",
    # No narrow part: the weights that are not needed go on making noise.
    "wide-mixture": "--preset blundell-mixture --sigma-2 0.37",
    "learned-mixture": "--preset blundell-mixture --learn-prior",
    "gaussian": "--preset blundell-gaussian",
    "sgd": "--preset plain-sgd",
    "dropout": "--preset plain-dropout",
}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A command of ours, and where the JSON file that it writes is kept."""

    group: str
    name: str
    command: str
    writes: str = "metrics.json"
    draws: tuple[str, ...] = ()

    @property
    def result(self) -> Path:
        """The committed JSON file."""
        return RESULTS / self.group / f"{self.name}.json"

    def run(self, resume: bool) -> Path:
        """Runs the command, going on with what an earlier run left if asked; returns the directory that it wrote to."""
        directory = Path("runs") / "results" / self.group / self.name
        if not resume:
            shutil.rmtree(ROOT / directory, ignore_errors=True)
        script, *arguments = shlex.split(self.command)
        command = [f"scripts/{script}", *arguments, "--output-dir", str(directory)]
        if resume and script in ("train_mlp.py", "train_lenet5.py"):
            command.append("--resume")
        log.info("%s/%s: python %s", self.group, self.name, " ".join(command))
        if subprocess.run([sys.executable, *command], cwd=ROOT, check=False).returncode:
            raise ScriptError(f"{self.name} failed; its messages are above.")
        return ROOT / directory

    def keep(self, directory: Path) -> None:
        """Copies JSON file and pictures from where the command wrote them to where they are committed.

        The first picture has the result's name, each other one its own behind it.
        """
        self.result.parent.mkdir(parents=True, exist_ok=True)
        report = json.loads((directory / self.writes).read_text())
        if "source" in report:
            report["source"] = Path(report["source"]).name  # where it lies is another place on each machine
        reporting.write_json(report, self.result)
        for number, picture in enumerate(self.draws):
            ending = f"-{picture}" if number else ".png"
            shutil.copy(directory / picture, self.result.with_name(self.name + ending))
        log.info("wrote %s", self.result)


QUICK = tuple(
    Experiment("mlp", f"mnist-{preset}-seed{seed}", f"train_mlp.py --dataset mnist --preset {preset} --seed {seed}")
    for preset in QUICK_PRESETS
    for seed in SEEDS
)
EXPERIMENTS = (
    *QUICK,
    *(
        Experiment(
            "mlp",
            f"{dataset.replace('_', '-')}-{width}-{method}-seed{seed}",
            f"train_mlp.py --dataset {dataset} {arguments} --units {width} --seed {seed}",
        )
        for seed in SEEDS
        for dataset, widths in WIDTHS.items()
        for width in widths
        for method, arguments in ARGUMENTS.items()
    ),
    *(
        Experiment(
            "pruning",
            f"mnist-{width}-{method}",
            f"prune.py runs/results/mlp/mnist-{width}-{method}-seed0/model.keras --dataset mnist "
            f"--plain-model runs/results/mlp/mnist-{width}-sgd-seed0/model.keras",
            "pruning.json",
            ("pruning.png",),
        )
        for width, method in PRUNED
    ),
    Experiment("regression", "curve", "regression_curve.py", draws=("curve.png",)),
    Experiment(
        "bandit",
        "mushrooms",
        "bandit.py --later-updates 16",
        "regret.json",
        ("regret.png",),
    ),
    Experiment(
        "small_data",
        "mnist",
        "small_data.py --dataset mnist --sizes 100 1000 10000",
        "small_data.json",
        ("small_data.png",),
    ),
    *(
        Experiment("lenet5", name, f"train_lenet5.py {recipe}", draws=("uncertainty.png",))
        for name, recipe in LENET5.items()
    ),
    *(
        Experiment(
            "out_of_distribution",
            name,
            f"out_of_distribution.py --dataset {name.replace('-', '_')} {recipe}",
            "out_of_distribution.json",
            ("roc.png", "entropy.png", "reliability.png", "accuracy_rejection.png", "rotation.png", "least_sure.png"),
        )
        for name, recipe in (("fashion-mnist", "--epochs 12 --initial-stddev 0.007"), ("mnist", "--epochs 6"))
    ),
    Experiment(
        "selective_risk",
        "mnist-400-gaussian",
        "selective_risk.py runs/results/mlp/mnist-400-gaussian-seed0/model.keras --dataset mnist",
        "selective_risk.json",
        ("selective_risk.png",),
    ),
    Experiment("uci", "uci", "uci.py", "uci.json", ("uci.png",)),
)


def fill(page: str) -> str:
    """Returns the page with each table between its two marks made anew."""
    for name, make in TABLES.items():
        begin, end = f"<!-- table {name} -->", f"<!-- end {name} -->"
        before, found, rest = page.partition(begin)
        if not found or end not in rest:
            raise ScriptError(f"{PAGE} must have the marks {begin} and {end}. Received: a page without them")
        page = f"{before}{begin}\n\n{make()}\n\n{end}{rest.partition(end)[2]}"
    return page


def chosen(beginning: str) -> list[Experiment]:
    """Returns the experiments whose names begin so; raises ScriptError if there is none."""
    found = [experiment for experiment in EXPERIMENTS if f"{experiment.group}/{experiment.name}".startswith(beginning)]
    if not found:
        groups = dict.fromkeys(f"{experiment.group}/" for experiment in EXPERIMENTS)
        raise ScriptError(f"--only must be how a name begins, of {', '.join(groups)}... Received: {beginning}")
    return found


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="run the shortest experiments anew; results are not kept")
    parser.add_argument("--only", metavar="BEGINNING", help="run experiments whose names begin so, if not yet run")
    parser.add_argument("--again", action="store_true", help="with --only: also those that have a result")
    args = parser.parse_args()
    if args.again and not args.only:
        raise ScriptError("--again needs --only, to say what to run. Received: --again alone")
    return args


def main() -> None:
    """Runs what was asked for, and fills the page."""
    args = parse_arguments()
    if args.quick:
        for experiment in QUICK:
            written = experiment.run(resume=False) / experiment.writes
            ours = json.loads(written.read_text())["test"]["ensemble"]["error_percent"]
            kept = json.loads(experiment.result.read_text())["test"]["ensemble"]["error_percent"]
            log.info("%s: test error %.2f %%, committed %.2f %%", experiment.name, ours, kept)
        return
    for experiment in chosen(args.only) if args.only else ():
        if args.again or not experiment.result.exists():
            experiment.keep(experiment.run(resume=True))
    figures.draw_all(ROOT / "runs" / "results" / "mlp", RESULTS)
    PAGE.write_text(fill(PAGE.read_text()))
    log.info("wrote %s", PAGE)


if __name__ == "__main__":
    reporting.exit_on_error(main)
