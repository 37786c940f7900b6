"""The programs of the short pages run as they stand there, each page with the data and the model that it speaks of."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import UNCOMPILED, on_tensorflow_alone

pytestmark = on_tensorflow_alone

DOCS = Path(__file__).parents[2] / "docs"
PAGES = (
    "guides/cutoff.md",
    "guides/draws.md",
    "guides/estimator.md",
    "guides/kl_weight.md",
    "guides/learning_rate.md",
    "guides/posterior_start.md",
    "guides/prior.md",
    "guides/temperature.md",
    "layers.md",
    "migrating/bayesian_torch.md",
    "migrating/blitz.md",
    "migrating/tfp_layers.md",
    "not_learning.md",
    "training.md",
    "what_to_know.md",
)


def programs(page):
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), flags=re.DOTALL)


@pytest.fixture(scope="module")
def names():
    """What the pages speak of: a classifier of four numbers into three classes, trained, and data."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 4)).astype("float32")
    y = np.argmax(x[:, :3], axis=1)
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3)])
    plain.compile("adam", loss=bnn.likelihoods.Categorical(), **UNCOMPILED)
    model = bnn.models.mlp((4,), units=(16,), num_outputs=3)
    model.compile(keras.optimizers.Adam(0.02), loss=bnn.likelihoods.Categorical(), metrics=["accuracy"])
    model.fit(x[:400], y[:400], epochs=10, verbose=0, callbacks=[bnn.callbacks.KLWeight()])
    parts = {"train": slice(0, 400), "validation": slice(400, 500), "val": slice(400, 500), "test": slice(500, 600)}
    data = {f"{letter}_{part}": array[rows] for part, rows in parts.items() for letter, array in (("x", x), ("y", y))}
    images = {"images": np.zeros((8, 28, 28, 1), "float32"), "labels": np.arange(8)}
    return {"keras": keras, "np": np, "bnn": bnn, "model": model, "trained": plain, "x": x, "y": y, **data, **images}


@pytest.mark.parametrize("page", PAGES)
def test_the_programs_run(page, names):
    own = dict(names)
    found = programs(page)
    assert found
    for program in found:
        exec(program, own)


def test_the_cutoff_keeps_its_promise(names):
    own = dict(names)
    exec(programs("guides/cutoff.md")[0], own)
    answers = own["answers"]
    assert (answers != own["y_test"])[answers >= 0].mean() < 0.2
    assert (own["most"] == -1).mean() == pytest.approx(0.1, abs=0.02)


def test_the_diagnosis_names_what_the_page_explains(capsys):
    from tfp_bnn.transforms.findings import CHECKS

    explained = re.findall(r"^## (\w+)$", (DOCS / "not_learning.md").read_text(), flags=re.MULTILINE)
    assert explained == [check.__name__ for check in CHECKS]
