"""Files that version 0.1 saved, one of each of its layer classes: they load, and predict what they predicted."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

import tfp_bnn as bnn

FOLDER = Path(__file__).parents[1] / "data" / "version_0_1"
RECORD = json.loads((FOLDER / "predictions.json").read_text())


# One of each kind on JAX, which compiles each; what is read are names and arrays.
ON_JAX_TOO = ("Conv2DFlipout", "DenseLocalReparameterization", "DenseVariational")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ON_JAX_TOO else pytest.mark.jax_if_thorough)
        for name in RECORD["predictions"]
    ],
)
def test_a_file_loads_and_predicts_the_same(name):
    model = keras.saving.load_model(FOLDER / f"{name}.keras")
    assert type(model.layers[0]).__name__ == name
    first, *_, last = bnn.layers.variational_layers(model)
    assert first.prior is last.prior
    inputs = np.random.default_rng(4).normal(size=(3, *model.input_shape[1:])).astype("float32")
    predictive = bnn.predict(model, inputs, num_draws=RECORD["num_draws"], seed=RECORD["seed"])
    np.testing.assert_allclose(predictive.draws, RECORD["predictions"][name], atol=2e-6)
