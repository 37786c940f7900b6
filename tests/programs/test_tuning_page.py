"""The programs of docs/tuning.md run as they stand there, and its table is that of the result file."""

import json
import re
from pathlib import Path

import keras
import pytest

from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "tuning.md").read_text()
FIT, TUNER = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_programs_run(tmp_path, monkeypatch):
    pytest.importorskip("keras_tuner")
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    names = {}
    exec(FIT, names)
    assert names["figure"] < 0.8  # a Gaussian of the mean and variance of all targets has 1.1
    assert "max_trials=20" in TUNER
    exec(TUNER.replace("max_trials=20", "max_trials=1").replace("epochs=20", "epochs=1"), names)
    assert names["best"].keys() == {"stddev", "scale", "rate", "warmup"}


def test_the_table_is_that_of_the_results():
    found = json.loads((DOCS / "results" / "defaults" / "defaults.json").read_text())["nll"]
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("|")]
    head, _, *rows = table
    assert head[1:] == list(found)
    for name, *cells in rows:
        assert cells == [f"{found[task][name]:.3f}" for task in head[1:]]
