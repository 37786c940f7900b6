"""The UCI regression sets, with the 20 splits of Hernandez-Lobato and Adams 2015 into training and test rows."""

import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

import tfp_bnn as bnn
from scripts.common.reporting import ScriptError

SETS = ("boston", "concrete", "energy", "kin8nm", "power", "wine", "yacht")
SPLITS = 20
# Of a split's training rows: settings are chosen on them.
VALIDATION_SHARE = 0.2


class Split(NamedTuple):
    """What a network learns from and is measured on, float32; inputs and targets are standardised by training rows.

    Args:
        x_train: [n, d].
        y_train: [n, 1].
        x_test: [m, d].
        y_test: [m, 1].
        y_stddev: what the targets were divided by, in their own units.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    y_stddev: float


class RegressionSet(NamedTuple):
    """A data set: inputs [n, d], targets [n], and the rows of each split's parts, [splits, rows]."""

    x: np.ndarray
    y: np.ndarray
    train: np.ndarray
    test: np.ndarray

    def rows(self, number: int, validate: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Returns the numbers of a split's rows to learn from, and of those to measure on; see `split`."""
        train, test = self.train[number], self.test[number]
        if not validate:
            return train, test
        shuffled = np.random.default_rng(number).permutation(train)
        test, train = np.split(shuffled, [round(VALIDATION_SHARE * len(train))])
        return train, test

    def split(self, number: int, validate: bool = False) -> Split:
        """Returns a split; to validate, its test rows are a fifth of its training rows, and the others train."""
        train, test = self.rows(number, validate)
        x, y = _standardised(self.x, train), _standardised(self.y[:, np.newaxis], train)
        return Split(x[train], y[train], x[test], y[test], float(self.y[train].std()))


def _standardised(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Returns columns of mean 0 and standard deviation 1 over the training rows; constant ones are all 0 there."""
    stddev = values[train].std(axis=0)
    return ((values - values[train].mean(axis=0)) / np.where(stddev > 0, stddev, 1.0)).astype("float32")


def load(name: str, data_dir: str | None) -> RegressionSet:
    """Loads uci/NAME.npz from a directory; without one from TFP_BNN_DATA."""
    place = data_dir or os.environ.get(bnn.datasets.DATA_DIR_VARIABLE)
    expected = f"--data-dir or {bnn.datasets.DATA_DIR_VARIABLE} must name a directory with uci/{name}.npz"
    if not place:
        raise ScriptError(f"{expected}. Received: neither")
    path = Path(place) / "uci" / f"{name}.npz"
    if not path.is_file():
        raise ScriptError(f"{expected}. Received: {place}")
    try:
        with np.load(path) as file:
            return RegressionSet(*(file[array] for array in RegressionSet._fields))
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ScriptError(
            f"{path} must hold the arrays {', '.join(RegressionSet._fields)}. Received: {error}"
        ) from error
