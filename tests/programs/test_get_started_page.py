"""The programs of docs/get_started.md run as they stand there, and what they say comes true."""

import re
from pathlib import Path

import keras
import pytest

from tests.support.on_backends import on_jax_alone

pytestmark = on_jax_alone  # where it compiles sooner

PAGE = (Path(__file__).parents[2] / "docs" / "get_started.md").read_text()
TRAINING, QUESTIONS, SAVING = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_five_minutes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    names: dict = {}
    assert "epochs=10" in TRAINING
    exec(TRAINING.replace("epochs=10", "epochs=4, verbose=0"), names)
    exec(QUESTIONS, names)
    answers, labels = names["answers"], names["data"].y_test
    assert (names["predictive"].mean().argmax(axis=-1) == labels).mean() > 0.85
    assert (answers != labels)[answers >= 0].mean() < 0.03
    assert names["refused"] > 0.9
    logged = {name: values[-1] for name, values in names["history"].history.items()}
    assert logged["loss"] == pytest.approx(logged["nll"] + logged["kl"] / 4000, rel=0.01)
    exec(SAVING, names)
    assert names["loaded"].count_params() == names["model"].count_params()
