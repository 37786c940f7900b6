"""The guide for keras.io runs from top to bottom, and is in the form that keras.io takes."""

import re
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from tests.support.on_backends import on_jax_alone

pytestmark = on_jax_alone  # where it compiles sooner

GUIDE = (Path(__file__).parents[2] / "notebooks" / "keras_io_wine.py").read_text()
COLUMNS = [f"measurement {number}" for number in range(11)]


def made_wines(path):
    """Writes 200 wines in the form of the data set: the grade follows the first measurement."""
    rng = np.random.default_rng(0)
    wines = pd.DataFrame(rng.normal(size=(200, 11)), columns=COLUMNS)
    wines["quality"] = np.rint(5 + wines[COLUMNS[0]] + rng.normal(scale=0.5, size=200)).astype(int)
    wines.to_csv(path, sep=";", index=False)


def test_it_runs(monkeypatch, tmp_path, capsys):
    made_wines(tmp_path / "wines.csv")
    monkeypatch.setattr(keras.utils, "get_file", lambda name, url: tmp_path / "wines.csv")
    quick = GUIDE.replace("epochs=60", "epochs=2").replace("epochs=2000 // steps", "epochs=2")
    names = {}
    exec(compile(quick, "guide", "exec"), names)
    assert names["table"].shape == (40, 4)
    assert (names["low"] < names["high"]).all()
    printed = capsys.readouterr().out
    assert "160 wines to learn from, 40 held out" in printed
    assert len(re.findall(r"off by \d\.\d\d grades", printed)) == 3


def test_it_has_the_header_that_keras_io_asks_for():
    header = GUIDE.split('"""')[1].strip().splitlines()
    names = [line.split(":")[0] for line in header]
    assert names == ["Title", "Author", "Date created", "Last modified", "Description", "Accelerator"]
