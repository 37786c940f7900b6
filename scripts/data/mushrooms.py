"""The UCI Mushroom data: 8,124 mushrooms, 22 categorical features each, edible or poisonous (CC BY 4.0)."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

import tfp_bnn as bnn
from scripts.common.reporting import ScriptError


class Mushrooms(NamedTuple):
    """The features, one-hot, float32 [n, 117], and which ones are edible, bool [n]."""

    features: np.ndarray
    edible: np.ndarray


def load(data_dir: str | None) -> Mushrooms:
    """Loads mushroom.csv from a directory; without one from TFP_BNN_DATA, or else from OpenML."""
    place = data_dir or os.environ.get(bnn.datasets.DATA_DIR_VARIABLE)
    path = Path(place) / "mushroom.csv" if place else None
    if path and path.is_file():
        table = pd.read_csv(path, dtype=str)
        return _encoded(table.drop(columns="edibility"), table["edibility"] == "e")
    if data_dir:
        raise ScriptError(f"--data-dir must have mushroom.csv. Received: {data_dir}")
    from sklearn.datasets import fetch_openml

    try:
        table, classes = fetch_openml("mushroom", version=1, return_X_y=True, as_frame=True)
    except Exception as error:  # A download can fail in any way.
        raise ScriptError(
            "The mushrooms could not be had from OpenML; give --data-dir the directory of a mushroom.csv (edibility "
            f"first, then 22 features). Received: {error}"
        ) from error
    return _encoded(table.astype(str), classes == "e")


def _encoded(features: pd.DataFrame, edible: pd.Series) -> Mushrooms:
    return Mushrooms(pd.get_dummies(features).to_numpy("float32"), edible.to_numpy(bool))
