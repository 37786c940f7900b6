"""The programs of docs/tabular.md run as they stand there, and what they say comes true."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

PAGE = (Path(__file__).parents[2] / "docs" / "tabular.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def houses():
    """A table of houses: numbers with gaps, words with gaps, a price with noise of 50,000."""
    rng = np.random.default_rng(1)
    size, age, town = rng.uniform(20, 200, 1500), rng.uniform(0, 100, 1500), rng.choice(["Ulm", "Bonn", "Kiel"], 1500)
    price = 5_000 * size - 2_000 * age + 100_000 * (town == "Bonn") + rng.normal(scale=50_000, size=1500)
    table = pd.DataFrame({"size": size, "age": age, "town": town, "price": price})
    for column in ("age", "town", "price"):
        table.loc[rng.random(1500) < 0.03, column] = np.nan
    return table


def test_the_programs_run_and_what_they_say_comes_true(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    houses().to_csv("houses.csv", index=False)
    names: dict = {}
    csv = PROGRAMS[1]
    assert "BayesianRegressor(random_state=0)" in csv
    for program in PROGRAMS:
        exec(program.replace("Regressor(random_state=0)\n", "Regressor(steps=1000, random_state=0)\n"), names)
    # Of some 290 rows: three standard errors are 0.05.
    assert 0.84 < names["coverage"] < 0.96
    assert 0.84 < names["coverage_promised"] < 0.96
    y = names["y"]
    low, high = names["interval"].T
    assert 0.85 < ((low <= y) & (y <= high)).mean() < 0.96
    # The noise, and beside it what the network does not know.
    assert 45_000 < np.median(names["stddev"]) < 65_000
    assert np.median(names["aleatoric"]) == pytest.approx(50_000, rel=0.25)
    np.testing.assert_allclose(np.hypot(names["aleatoric"], names["epistemic"])[:, 0], names["stddev"], rtol=1e-5)
    assert names["r_squared"] > 0.9
    assert names["probabilities"].shape == (400, 2)
    assert ((names["probabilities"].max(axis=1) < 0.9) == names["unsure"]).mean() > 0.99
    assert names["scores"].min() > 0.8
    assert names["mean_of_both"].shape == names["stddev_of_both"].shape == (400, 2)
    assert names["intervals"].shape == (400, 2, 2)
    np.testing.assert_array_equal(names["again"].predict(names["table"]), names["prices"])
    np.testing.assert_allclose(names["of_file"].mean()[:, 0], names["mean"], atol=0.2 * np.std(y))
