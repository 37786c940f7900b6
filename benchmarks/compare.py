"""How fast tfp_bnn is beside its peers and beside the deterministic network, on this machine.

Each contender runs in a process of its own; in each round all of them do the same work, one after the other, so that a
machine whose speed drifts slows all alike. What counts are ratios within a round. A peer that is not installed
(`pip install -r requirements-bench.txt`) is a line of the table.

    python benchmarks/compare.py --json docs/results/speed.json
    python benchmarks/compare.py --quick

It imports Python's own modules alone: what a contender needs is imported in the contender's process.
"""

import argparse
import dataclasses
import json
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGES = ("keras", "tensorflow", "jax", "tensorflow-probability", "tf-keras", "torch", "bayesian-torch")
PACKAGES += ("blitz-bayesian-pytorch",)

OURS, OURS_XLA, OURS_JAX = "tfp_bnn, TensorFlow", "tfp_bnn, TensorFlow, XLA", "tfp_bnn, JAX"
PLAIN, PLAIN_XLA = "deterministic Keras, TensorFlow", "deterministic Keras, TensorFlow, XLA"
PLAIN_JAX, PLAIN_TORCH = "deterministic Keras, JAX", "deterministic PyTorch"
TFP, TFP_XLA, TORCH, BLITZ = "tfp.layers", "tfp.layers, XLA", "bayesian-torch", "BLiTZ"
# Label: class of the package `contenders`, Keras's backend, more arguments.
CONTENDERS: dict[str, tuple[str, str, Sequence[str]]] = {
    OURS: ("TfpBnn", "tensorflow", ()),
    OURS_JAX: ("TfpBnn", "jax", ()),
    OURS_XLA: ("TfpBnn", "tensorflow", ("--xla", "true")),
    PLAIN: ("DeterministicKeras", "tensorflow", ("--xla", "false")),
    PLAIN_XLA: ("DeterministicKeras", "tensorflow", ("--xla", "true")),
    PLAIN_JAX: ("DeterministicKeras", "jax", ()),
    PLAIN_TORCH: ("DeterministicTorch", "", ()),
    TFP: ("Tfp", "tensorflow", ()),
    TFP_XLA: ("Tfp", "tensorflow", ("--xla", "true")),
    TORCH: ("BayesianTorch", "", ()),
    BLITZ: ("Blitz", "", ()),
}
FLIPOUT = (OURS, OURS_JAX, PLAIN, PLAIN_XLA, PLAIN_JAX, PLAIN_TORCH, TFP, TFP_XLA, TORCH)

BOTH_MODES = (OURS, OURS_XLA, OURS_JAX, PLAIN, PLAIN_XLA, PLAIN_JAX)


@dataclasses.dataclass(frozen=True)
class Work:
    """What the contenders do: the worker's arguments, and who takes part."""

    name: str
    arguments: str
    contenders: Sequence[str]

    def command(self, label: str) -> list[str]:
        """Returns the command of a contender's process."""
        contender, _, more = CONTENDERS[label]
        return [sys.executable, "-m", "benchmarks.contenders.worker", contender, *self.arguments.split(), *more]


def mlp_work(width: int, estimator: str, units: int) -> Work:
    """Returns the training of the paper's network with the mixture prior."""
    peers = (TORCH, BLITZ) if estimator == "Reparameterization" else (TORCH,)
    name = f"2x{width}, mixture prior, {estimator}, a training step"
    arguments = f"train mlp-{width}x2 --estimator {estimator} --mixture --units {units}"
    return Work(name, arguments, (OURS, OURS_JAX, PLAIN, PLAIN_XLA, PLAIN_JAX, PLAIN_TORCH, *peers))


LENET, WIDE, NARROW = (
    Work("LeNet5, Flipout, a training step", "train lenet5 --units 40", FLIPOUT),
    mlp_work(1200, "Reparameterization", 40),
    mlp_work(400, "Reparameterization", 150),
)
DRAWS = Work("LeNet5, 50 draws for 1,000 images", "predict lenet5 --units 50 --images 1000", FLIPOUT)
WORKS = (
    LENET,
    NARROW,
    mlp_work(400, "Flipout", 150),
    WIDE,
    mlp_work(1200, "Flipout", 40),
    Work("ResNet-20, Flipout, a training step", "train resnet20 --units 4", FLIPOUT),
    *(
        Work(f"{name}, {estimator} with a normal prior, a step", f"{arguments} --estimator {estimator}", BOTH_MODES)
        for name, arguments in (("LeNet5", "train lenet5 --units 40"), ("2x400", "train mlp-400x2 --units 150"))
        for estimator in ("Reparameterization", "Antithetic", "Flipout", "LocalReparameterization")
    ),
    DRAWS,
    Work("LeNet5, 50 draws for 10,000 images", "predict lenet5 --units 50 --images 10000", (OURS, PLAIN)),
)
QUICK_WORKS = (
    Work(LENET.name, "train lenet5 --units 10", FLIPOUT),
    Work(NARROW.name, NARROW.arguments.replace("150", "60"), NARROW.contenders),
)
GROWTH = (
    *(Work(f"width {n}", f"train mlp-{n}x2 --mixture --units 10", (OURS, PLAIN)) for n in (100, 400, 1200, 4800)),
    *(Work(f"depth {n}", f"train mlp-400x{n} --mixture --units 30", (OURS, PLAIN)) for n in (1, 2, 4, 8)),
    *(Work(f"batch {n}", f"train mlp-400x2 --mixture --units 30 --batch {n}", (OURS, PLAIN)) for n in (32, 128, 512)),
    *(
        Work(f"{n} draws", f"predict mlp-400x2 --mixture --units {n} --images 1000", (OURS, PLAIN))
        for n in (1, 10, 100, 1000)
    ),
    *(
        Work(f"{n} draws of 10,000 images, summarized", f"summarize mlp-100x2 --units {n} --images 10000", (OURS,))
        for n in (50, 250, 1000)
    ),
)


# The measuring.


def reason(answer: dict[str, Any]) -> dict[str, Any]:
    """Returns the part of an answer that says why there are no times: packages that are missing, or what failed."""
    return {name: answer[name] for name in ("missing", "failed") if name in answer}


class Process:
    """A contender's process, ready to take turns; or `reason` says why it is not."""

    def __init__(self, work: Work, label: str):
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        if CONTENDERS[label][1]:
            environment["KERAS_BACKEND"] = CONTENDERS[label][1]
        pipe = subprocess.PIPE
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115  A pipe that nobody reads would fill up.
        # From the checkout, where Python finds the worker, whether the package is installed or a peer alone.
        self._process = subprocess.Popen(
            work.command(label), cwd=ROOT, stdin=pipe, stdout=pipe, stderr=self._said, text=True, env=environment
        )
        self.reason = reason(self._answer())

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._said.seek(0)
        return {"failed": (self._said.read().strip().splitlines() or ["it ended without a word"])[-1]}

    def turn(self) -> dict[str, Any]:
        """Lets the contender do its work once; returns seconds for each unit, and memory."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()


def measure(work: Work, rounds: int) -> dict[str, dict[str, Any]]:
    """Returns, for each contender, seconds of each round and memory in MiB, or what is missing or failed."""
    processes = {label: Process(work, label) for label in work.contenders}
    results: dict[str, dict[str, Any]] = {
        label: process.reason or {"seconds": []} for label, process in processes.items()
    }
    for _ in range(rounds):
        for label, process in processes.items():
            if "seconds" not in results[label]:
                continue
            turn = process.turn()
            if reason(turn):
                results[label] = turn
                continue
            results[label]["seconds"].append(round(turn["seconds"], 6))
            results[label] |= {"peak_mib": round(turn["peak"]), "growth_mib": round(turn["growth"])}
    for process in processes.values():
        process.end()
    return results


# What comes of it.


def ratio(results: dict[str, Any], label: str, others: Iterable[str]) -> tuple[float, float, float] | None:
    """Returns median, least and greatest over rounds of a contender's time to the least of others' in that round."""
    present = [results[other]["seconds"] for other in others if "seconds" in results.get(other, {})]
    if not present:
        return None
    fastest = min(present, key=statistics.median)
    ratios = [a / b for a, b in zip(results[label]["seconds"], fastest, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


# Work, ours, the fastest of which others, at most.
AIMS = (
    (LENET, (OURS,), (PLAIN, PLAIN_XLA), 1.8),
    *((work, (OURS,), (PLAIN, PLAIN_XLA), 1.35) for work in WORKS if work.name.startswith("LeNet5, Antithetic")),
    (LENET, (OURS,), (TFP, TFP_XLA), 0.45),
    (LENET, (OURS,), (TORCH,), 0.75),
    *((work, (OURS, OURS_JAX), (BLITZ,), 0.5) for work in (NARROW, WIDE)),
    *((work, (OURS, OURS_JAX), (TORCH,), 0.8) for work in (NARROW, WIDE)),
    (WIDE, (OURS, OURS_JAX), (PLAIN, PLAIN_XLA, PLAIN_JAX), 3.0),
    *((work, (OURS,), (BLITZ,), 0.6) for work in (NARROW, WIDE)),
    *((work, (OURS,), (TORCH,), 1.0) for work in (NARROW, WIDE)),
    (DRAWS, (OURS,), (PLAIN,), 1.15),
    (DRAWS, (OURS,), (TFP, TFP_XLA), 0.2),
    (DRAWS, (OURS,), (TORCH,), 0.2),
)


def aims_met(results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns each aim with the ratio that was measured: of the better backend where both may serve."""
    lines = []
    for work, ours, others, limit in AIMS:
        measured = results.get(work.name, {})
        ratios = [
            (found, label)
            for label in ours
            if "seconds" in measured.get(label, {}) and (found := ratio(measured, label, others))
        ]
        if ratios:
            values, label = min(ratios)
            median, low, high = (round(value, 2) for value in values)
            line = {"work": work.name, "ours": label, "against": " or ".join(others), "ratio": median}
            lines.append({**line, "least": low, "greatest": high, "at_most": limit, "met": median <= limit})
    return lines


def table(results: dict[str, dict[str, Any]]) -> str:
    """Returns the results as a table in Markdown."""
    lines = ["| work | contender | ms | x deterministic | growth, MiB |", "| --- | --- | --- | --- | --- |"]
    for work, measured in results.items():
        for label, result in measured.items():
            if "seconds" not in result:
                missing, failed = ", ".join(result.get("missing", ())), result.get("failed")
                lines.append(
                    f"| {work} | {label} | {f'failed: {failed}' if failed else f'not installed: {missing}'} | | |"
                )
                continue
            # Beside the better mode of the same backend.
            found = ratio(measured, label, [PLAIN_JAX] if label.endswith("JAX") else [PLAIN, PLAIN_XLA])
            times = f"{found[0]:.2f} ({found[1]:.2f} to {found[2]:.2f})" if found else ""
            milliseconds = 1000 * statistics.median(result["seconds"])
            lines.append(f"| {work} | {label} | {milliseconds:.4g} | {times} | {result['growth_mib']} |")
    return "\n".join(lines)


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def dumps(content: Any) -> str:
    """Returns JSON with each innermost object or list in a line of its own."""
    text = json.dumps(content, indent=1)
    return re.sub(r"[\[{][^{}\[\]]*[\]}]", lambda match: re.sub(r"\s*\n\s*", " ", match[0]), text) + "\n"


def write(path: Path, commands: dict[str, str], results: dict[str, dict[str, Any]]) -> None:
    """Writes what has been measured so far, each work with its command: the whole takes most of an hour."""
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "system": platform.system()}
    content = {"commands": commands, "versions": versions(), "device": machine}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dumps({**content, "aims": aims_met(results), "results": results}))


def main() -> None:
    """Measures, prints the table and the aims, and writes the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the results go, beside those that are there; default: nowhere")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender does each work (default: 5)")
    parser.add_argument("--quick", action="store_true", help="two works and two rounds, within three minutes")
    parser.add_argument("--growth", action="store_true", help="how time grows with width, depth, batch and draws")
    parser.add_argument("--only", default="", metavar="SUBSTRING", help="only works whose names contain this")
    args = parser.parse_args()
    if args.quick and args.json:
        parser.error("--quick measures too briefly to be kept. Received: --quick and --json")
    works = GROWTH if args.growth else QUICK_WORKS if args.quick else WORKS
    kept = json.loads(args.json.read_text()) if args.json and args.json.exists() else {}
    results, commands = kept.get("results", {}), kept.get("commands", {})
    for work in works:
        if args.only in work.name:
            print(f"{work.name} ...", file=sys.stderr, flush=True)
            results[work.name] = measure(work, 2 if args.quick else args.rounds)
            print(table({work.name: results[work.name]}), file=sys.stderr, flush=True)
            if args.json:
                commands[work.name] = shlex.join(["python", "benchmarks/compare.py", *sys.argv[1:]])
                write(args.json, commands, results)
    print(table(results))
    for aim in aims_met(results):
        print(
            f"{'met   ' if aim['met'] else 'MISSED'} {aim['work']}: {aim['ours']} {aim['ratio']} x {aim['against']} "
            f"({aim['least']} to {aim['greatest']}), at most {aim['at_most']}"
        )
    if args.json:
        print(f"Wrote {args.json}")


if __name__ == "__main__":
    main()
