"""The programs of README.md and docs/get_started.md run as they stand there, and what they say comes true."""

import re
from pathlib import Path

import keras
import pytest

from tests.support.on_backends import on_jax_alone

pytestmark = on_jax_alone  # where it compiles sooner

ROOT = Path(__file__).parents[2]


def programs(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


(README,) = programs("README.md")
TRAINING, QUESTIONS, SAVING = programs("docs/get_started.md")


def test_five_minutes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    names: dict = {}
    assert README.startswith(TRAINING)
    assert "epochs=10" in README
    exec(README.replace("epochs=10", "epochs=2, verbose=0"), names)
    answers, labels = names["answers"], names["data"].y_test
    assert (names["predictive"].mean().argmax(axis=-1) == labels).mean() > 0.75
    assert (answers != labels)[answers >= 0].mean() < 0.03
    exec(QUESTIONS, names)
    assert names["refused"] > 0.9
    logged = {name: values[-1] for name, values in names["history"].history.items()}
    assert logged["loss"] == pytest.approx(logged["nll"] + logged["kl"] / 4000, rel=0.01)
    exec(SAVING, names)
    assert names["loaded"].count_params() == names["model"].count_params()
