"""The programs of docs/tabular.md run as they stand there, and what they say comes true."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

PAGE = (Path(__file__).parents[2] / "docs" / "tabular.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_programs_run_and_what_they_say_comes_true(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for program in PROGRAMS:
        exec(program, names)
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
