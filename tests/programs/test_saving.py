"""Saving and loading: the same posterior, the same shared prior, the same predictions."""

import copy
import json
import os
import pickle
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW, UNCOMPILED

X = np.random.default_rng(0).normal(size=(12, 6, 6, 2)).astype("float32")
Y = np.arange(12) % 3


def make_model():
    prior = bnn.priors.ScaleMixture(1.0, 0.1, 0.3, trainable=True)
    posterior = bnn.posteriors.MeanFieldNormal(0.02, mean_initializer="glorot_uniform")
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            bnn.layers.Conv2DFlipout(4, 3, strides=2, groups=2, activation="relu", prior=prior, posterior=posterior),
            keras.layers.Flatten(),
            bnn.layers.DenseLocalReparameterization(5, "tanh", prior=prior, bias_posterior=posterior),
            bnn.layers.DenseVariational(3, prior=prior, seed=9),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), bnn.likelihoods.Categorical(), metrics=["accuracy"], **UNCOMPILED)
    return model


def train_model():
    model = make_model()
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[bnn.callbacks.KLWeight(num_examples=len(X))])
    return model


@pytest.fixture(scope="module")
def trained():
    # No test changes it.
    return train_model()


def assert_same(model, loaded):
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    predictives = [
        bnn.predict(m, X, num_draws=5, seed=1, likelihood=bnn.likelihoods.Categorical()) for m in (model, loaded)
    ]
    np.testing.assert_allclose(predictives[0].draws, predictives[1].draws, rtol=1e-5, atol=1e-6)


def test_a_saved_model_is_the_same_model_and_goes_on_training(tmp_path):
    trained = train_model()
    trained.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same(trained, loaded)
    assert isinstance(loaded.loss, bnn.likelihoods.Categorical)
    for ours, theirs in zip(trained.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs))
    for model in (trained, loaded):
        model.fit(X, Y, epochs=1, shuffle=False, verbose=0, callbacks=[bnn.callbacks.KLWeight()])
    for ours, theirs in zip(trained.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_shared_learned_prior_is_still_shared_after_loading(trained, tmp_path):
    trained.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    priors = {
        id(prior) for layer in bnn.layers.variational_layers(loaded) for _, prior in layer.random_weights.values()
    }
    # One prior of all kernels and one of the bias, which has the default.
    assert len(priors) == 2
    assert len(loaded.trainable_variables) == len(trained.trainable_variables)
    learned, restored = trained.layers[0].prior, loaded.layers[0].prior
    assert float(learned.sigma_1) == float(restored.sigma_1) != pytest.approx(1.0, abs=1e-5)


def test_weights_alone_can_be_saved(trained, tmp_path):
    trained.save_weights(tmp_path / "model.weights.h5")
    other = make_model()
    other.load_weights(tmp_path / "model.weights.h5")
    assert_same(trained, other)


def test_a_config_holds_data_only(trained, tmp_path):
    trained.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        config = json.loads(archive.read("config.json"))
    assert "__lambda__" not in json.dumps(config)


def test_a_clone_predicts_the_same_and_trains_apart(trained):
    clone = bnn.clone_model(trained)
    clone.set_weights(trained.get_weights())
    assert_same(trained, clone)
    before = trained.get_weights()
    clone.compile("sgd", loss=bnn.likelihoods.Categorical(), **UNCOMPILED)
    clone.fit(X, Y, verbose=0, callbacks=[bnn.callbacks.KLWeight(num_examples=len(X))])
    for ours, theirs in zip(before, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_priors_of_the_same_name_stay_apart_in_a_clone():
    priors = [bnn.priors.Normal(1.0, name="prior"), bnn.priors.Normal(0.1, name="prior")]
    model = keras.Sequential([keras.Input((4,)), *(bnn.layers.DenseFlipout(4, prior=prior) for prior in priors * 2)])
    clone = bnn.clone_model(model)
    assert [layer.prior.scale for layer in clone.layers] == [1.0, 0.1, 1.0, 0.1]
    assert clone.layers[0].prior is clone.layers[2].prior is not priors[0]
    assert bnn.prune(model, 0.5).layers[1].prior.scale == 0.1


LOAD_ELSEWHERE = """
import sys, keras, numpy as np, tfp_bnn as bnn
path, x = sys.argv[1], np.load(sys.argv[2])
model = keras.saving.load_model(path)
outputs = bnn.to_deterministic(model).predict(x, verbose=0)
optimizer = [keras.ops.convert_to_numpy(variable) for variable in model.optimizer.variables]
np.savez(sys.argv[3], *model.get_weights(), *optimizer, outputs)
model.fit(x, np.zeros(len(x), int), verbose=0, callbacks=[bnn.callbacks.KLWeight()])
print(keras.backend.backend(), len({id(layer.prior) for layer in bnn.layers.variational_layers(model)}))
"""


@pytest.mark.jax_if_thorough
def test_a_model_saved_on_one_backend_is_the_same_on_the_other(trained, tmp_path):
    other = "jax" if TENSORFLOW else "tensorflow"
    trained.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", X)
    command = [sys.executable, "-c", LOAD_ELSEWHERE, *(tmp_path / name for name in ("model.keras", "x.npy", "y.npz"))]
    environment = os.environ | {"KERAS_BACKEND": other}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [other, "1"]
    with np.load(tmp_path / "y.npz") as archive:
        *loaded, outputs = archive.values()
    state = [*trained.get_weights(), *map(keras.ops.convert_to_numpy, trained.optimizer.variables)]
    for ours, theirs in zip(state, loaded, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    expected = bnn.to_deterministic(trained).predict(X, verbose=0)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


def test_a_file_that_is_cut_off_does_not_load(trained, tmp_path):
    path = tmp_path / "model.keras"
    trained.save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(Exception, match=r"(?i)file|zip"):
        keras.saving.load_model(path)


# One learned prior, shared: in whatever way the model is copied


def save_and_load(name):
    def copy_of(model, tmp_path):
        model.save(tmp_path / name)
        return keras.saving.load_model(tmp_path / name)

    return copy_of


WAYS_THAT_SHARE = {
    "keras": save_and_load("model.keras"),
    "clone": lambda model, tmp_path: bnn.clone_model(model),
    "pickle": lambda model, tmp_path: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, tmp_path: copy.deepcopy(model),
}
WAYS_OF_KERAS = {
    "h5": save_and_load("model.h5"),
    "json": lambda model, tmp_path: keras.models.model_from_json(model.to_json()),
    "config": lambda model, tmp_path: type(model).from_config(model.get_config()),
    "object config": lambda model, tmp_path: keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(model)
    ),
    "clone": lambda model, tmp_path: keras.models.clone_model(model),
}


def within_the_scope(way):
    def copy_of(model, tmp_path):
        with bnn.priors.kept_shared():
            return way(model, tmp_path)

    return copy_of


WAYS_TO_COPY = WAYS_THAT_SHARE | {f"{name} within": within_the_scope(way) for name, way in WAYS_OF_KERAS.items()}


def functional_with_a_model_inside():
    first, second = (bnn.priors.ScaleMixture(1.0, 0.1, 0.3, trainable=True, name="prior") for _ in range(2))
    inputs = keras.Input((4,))
    inner = keras.Sequential([keras.Input((5,)), bnn.layers.DenseFlipout(4, prior=first)])
    hidden = inner(bnn.layers.DenseFlipout(5, prior=first)(inputs))
    hidden = bnn.layers.DenseVariational(3, prior=second)(hidden)
    return keras.Model(inputs, bnn.layers.DenseReparameterization(2, prior=second)(hidden))


def priors_of(model):
    return [layer.prior for layer in bnn.layers.variational_layers(model)]


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("way", WAYS_TO_COPY)
def test_a_shared_learned_prior_is_shared_in_every_copy(way, tmp_path):
    model = functional_with_a_model_inside()
    priors = priors_of(model)
    pattern = [[one is other for other in priors] for one in priors]
    copies = [WAYS_TO_COPY[way](model, tmp_path) for _ in range(2)]
    for copied in copies:
        assert [[one is other for other in priors_of(copied)] for one in priors_of(copied)] == pattern
        assert len(copied.trainable_variables) == len(model.trainable_variables)
    # Not shared between models.
    first, second = ({id(prior) for prior in priors_of(copied)} for copied in copies)
    assert len({*first, *second, *map(id, priors)}) == 6


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_copy_of_a_copy_shares_its_prior_too(tmp_path):
    model = functional_with_a_model_inside()
    for way in WAYS_TO_COPY.values():
        model = way(model, tmp_path)
        assert len({id(prior) for prior in priors_of(model)}) == 2


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("way", WAYS_OF_KERAS)
def test_elsewhere_each_layer_has_a_prior_of_its_own_and_training_says_so(way, tmp_path):
    model = functional_with_a_model_inside()
    copied = WAYS_OF_KERAS[way](model, tmp_path)
    assert len({id(prior) for prior in (*priors_of(model), *priors_of(copied))}) == 6
    with pytest.warns(UserWarning, match="have 2 priors now.*tfp_bnn.clone_model"):
        bnn.callbacks.KLWeight(9).set_model(copied)


def test_priors_may_be_kept_themselves():
    prior = bnn.priors.Normal(1.0)
    layer = bnn.layers.Dense(4, prior=prior)
    with bnn.priors.kept_shared(prior):
        assert type(layer).from_config(layer.get_config()).prior is prior
    assert type(layer).from_config(layer.get_config()).prior is not prior


def test_a_layer_whose_config_was_edited_gets_a_prior_of_its_own():
    prior = bnn.priors.Normal(1.0)
    model = keras.Sequential([keras.Input((4,)), *(bnn.layers.DenseFlipout(4, prior=prior) for _ in range(3))])
    config = model.get_config()
    config["layers"][-1]["config"]["prior"]["config"]["scale"] = 0.5
    with bnn.priors.kept_shared():
        copied = keras.Sequential.from_config(config)
    assert [layer.prior.scale for layer in copied.layers] == [1.0, 1.0, 0.5]
    assert copied.layers[0].prior is copied.layers[1].prior


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_an_h5_file_holds_the_same_model(trained, tmp_path):
    trained.save(tmp_path / "model.h5")
    with bnn.priors.kept_shared():
        loaded = keras.saving.load_model(tmp_path / "model.h5")
    assert_same(trained, loaded)
    apart = keras.saving.load_model(tmp_path / "model.h5")
    expected, predicted = (bnn.predict(model, X, num_draws=5, seed=1).draws for model in (trained, apart))
    np.testing.assert_allclose(predicted, expected, rtol=1e-5, atol=1e-6)


# TensorFlow's checkpoints


@pytest.mark.skipif(not TENSORFLOW, reason="tf.train.Checkpoint knows TensorFlow's variables")
def test_a_checkpoint_holds_every_weight(tmp_path):
    import tensorflow as tf

    model = bnn.prune(train_model(), 0.5)
    other = bnn.prune(make_model(), 0.5)
    path = tf.train.Checkpoint(model).write(str(tmp_path / "checkpoint"))
    saved = [
        tf.train.load_variable(path, name)
        for name, _ in tf.train.list_variables(path)
        if name.endswith("VARIABLE_VALUE")
    ]
    for weights in model.weights:
        assert any(np.array_equal(weights.numpy(), value) for value in saved), weights.path
    tf.train.Checkpoint(other).read(path).assert_consumed()
    assert_same(model, other)
