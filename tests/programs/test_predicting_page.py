"""The programs of docs/predicting.md run as they stand there, and what they say comes true."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

PAGE = (Path(__file__).parents[2] / "docs" / "predicting.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_programs_run_and_what_they_say_comes_true():
    names: dict = {}
    for program in PROGRAMS:
        exec(program, names)
    assert names["predictive"].mean().shape == (64, 16, 16, 2)
    assert names["tagged"].mask.tolist() == (names["words"] > 0).tolist()
    assert set(names["figures_of_both"]) == {"nll", "kind_nll", "kind_accuracy", "price_nll", "price_rmse"}
    assert {"kind_loss", "price_loss", "nll", "kl"} <= names["history"].keys()
    assert ((names["joint"] >= 0) & (names["joint"] <= 1)).all()
    assert names["mixed"].draws.shape == (30, 100, 3)
    assert len(names["streamed"]) == len(names["summary"]) == 100
    assert names["of_stream"]["nll"] == pytest.approx(-names["streamed"].log_prob(names["y"]["kind"]).mean(), rel=0.05)
    assert np.mean(names["decided"].num_draws) < np.mean(names["settled"].num_draws)
    assert names["sets"].shape == (40, 3)
    assert names["low"].shape == names["high"].shape == (40, 1)
    assert set(names["answers"].tolist()) <= {-1, 0, 1, 2}
