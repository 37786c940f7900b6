"""The small CNN and the ResNet-20: what they are made of, and that it is sound beside random weights."""

import math

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import numpy, on_tensorflow_alone
from tfp_bnn.models.normalization import group_normalization

pytestmark = on_tensorflow_alone

# 3 x 3 kernels of nine blocks of 2 convolutions and of the stem, two 1 x 1 shortcuts, the logits.
RESNET_KERNELS = 9 * (3 * 16 + 6 * 16**2 + 16 * 32 + 5 * 32**2 + 32 * 64 + 5 * 64**2) + 16 * 32 + 32 * 64 + 640
SMALL_KERNELS = 25 * 32 + 9 * (32 * 64 + 64 * 128) + 4 * 4 * 128 * 10


@pytest.fixture(scope="module")
def resnet():
    return bnn.models.resnet20()


@pytest.fixture(scope="module")
def small():
    return bnn.models.small_cnn()


def kernels(model):
    return [tuple(layer.random_weights["kernel"][0].mean.shape) for layer in bnn.layers.variational_layers(model)]


def test_the_small_cnn_halves_the_image_with_each_convolution(small):
    assert kernels(small) == [(5, 5, 1, 32), (3, 3, 32, 64), (3, 3, 64, 128), (4 * 4 * 128, 10)]
    assert [layer.output.shape[1:3] for layer in small.layers if "conv" in layer.name] == [(14, 14), (7, 7), (4, 4)]
    assert kernels(bnn.models.small_cnn((8, 8, 3), 2, filters=(4, 6))) == [(5, 5, 3, 4), (3, 3, 4, 6), (24, 2)]


def test_resnet20_has_twenty_layers_on_its_longest_way_and_two_shortcuts(resnet):
    shapes = kernels(resnet)
    assert [shape[:2] for shape in shapes].count((3, 3)) == 19
    assert [shape for shape in shapes if shape[:2] == (1, 1)] == [(1, 1, 16, 32), (1, 1, 32, 64)]
    assert shapes[-1] == (64, 10)
    assert [layer.output.shape[1:] for layer in resnet.layers if isinstance(layer, keras.layers.Add)] == [
        *[(32, 32, 16)] * 3,
        *[(16, 16, 32)] * 3,
        *[(8, 8, 64)] * 3,
    ]


@pytest.mark.parametrize(
    ("name", "kernel_weights", "channels"),
    [("small", SMALL_KERNELS, 32 + 64 + 128), ("resnet", RESNET_KERNELS, 7 * 16 + 7 * 32 + 7 * 64)],
)
def test_kernels_have_two_numbers_a_weight_and_normalizations_two_a_channel(name, kernel_weights, channels, request):
    model = request.getfixturevalue(name)
    logits = 10
    assert (
        sum(math.prod(each.shape) for each in model.trainable_variables) == 2 * kernel_weights + logits + 2 * channels
    )
    assert bnn.to_deterministic(model).count_params() == kernel_weights + logits + 2 * channels
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)


@pytest.mark.parametrize(("name", "weights"), [("small", SMALL_KERNELS), ("resnet", RESNET_KERNELS)])
def test_the_kl_divergence_counts_each_kernel_once(name, weights, request):
    """At the start all have one standard deviation, so the divergence from N(0, 1) is known but for the means."""
    model = request.getfixturevalue(name)
    squares = 0.0
    for layer in bnn.layers.variational_layers(model):
        for variables, _ in layer.random_weights.values():
            squares += float(np.square(numpy(variables.mean.value), dtype="float64").sum())
    stddev = 0.05
    expected = weights * (-np.log(stddev) + 0.5 * (stddev**2 - 1)) + 0.5 * squares
    assert float(bnn.kl_divergence(model)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("make_model", [bnn.models.small_cnn, bnn.models.resnet20])
def test_layers_have_the_arguments_asked_for_and_share_the_prior(make_model):
    prior = bnn.priors.FittedNormal(0.3)
    posterior = bnn.posteriors.MeanFieldNormal(0.02)
    model = make_model((8, 8, 1), 3, activation="tanh", estimator="antithetic", prior=prior, posterior=posterior)
    layers = bnn.layers.variational_layers(model)
    assert all(layer.prior is prior for layer in layers)
    assert {layer.get_config()["estimator"] for layer in layers} == {"antithetic"}
    stddevs = {round(float(layer.random_weights["kernel"][0].read().stddev[0, 0].numpy().max()), 4) for layer in layers}
    assert stddevs == {0.02}
    activations = [each.activation for each in model.layers if isinstance(each, keras.layers.Activation)]
    assert set(activations) == {keras.activations.tanh}
    assert len(activations) == (3 if make_model is bnn.models.small_cnn else 19)
    assert layers[-1].activation is keras.activations.linear


def test_an_image_is_normalized_alone_and_in_training_as_in_prediction():
    rng = np.random.default_rng(0)
    images = rng.normal(2.0, 3.0, size=(3, 4, 4, 6)).astype("float32")
    layer = group_normalization(6)
    together = numpy(layer(images, training=True))
    np.testing.assert_allclose(numpy(layer(images[:1], training=False)), together[:1], rtol=1e-4, atol=1e-4)
    groups = images.reshape(3, 16, 2, 3).swapaxes(2, 1).reshape(3, 2, 48)
    scaled = (groups - groups.mean(-1, keepdims=True)) / groups.std(-1, keepdims=True)
    np.testing.assert_allclose(together.reshape(3, 16, 2, 3).swapaxes(2, 1).reshape(3, 2, 48), scaled, atol=1e-3)


@pytest.mark.parametrize(("filters", "groups"), [(1, 1), (6, 2), (7, 1), (16, 8), (128, 8)])
def test_groups_split_the_filters_evenly(filters, groups):
    assert group_normalization(filters).groups == groups


# That of the ResNet takes five times as long, and has nothing else in its file.
def test_a_saved_network_predicts_the_same(tmp_path):
    model = bnn.models.small_cnn((8, 8, 1), 3)
    model.compile("sgd", loss=bnn.likelihoods.Categorical())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).random((2, 8, 8, 1), "float32")
    outputs = [numpy(bnn.to_deterministic(each)(images)) for each in (model, loaded)]
    np.testing.assert_array_equal(*outputs)
    assert len({id(layer.prior) for layer in bnn.layers.variational_layers(loaded)}) == 1


@pytest.mark.parametrize(
    ("make_model", "message"),
    [
        (lambda: bnn.models.small_cnn((28, 28)), r"\(height, width, channels\). Received: input_shape=\(28, 28\)"),
        (lambda: bnn.models.small_cnn(28), r"\(height, width, channels\). Received: input_shape=28"),
        (lambda: bnn.models.small_cnn(filters=()), r"`filters` must be .* at least one. Received: \(\)"),
        (lambda: bnn.models.small_cnn(filters=32), "`filters` must be .* at least one. Received: 32"),
        (lambda: bnn.models.small_cnn(filters=(8, 0)), "`filters` must be a positive integer. Received: filters=0"),
        (lambda: bnn.models.small_cnn(prior="normal"), "`prior` must be a tfp_bnn.priors.Prior"),
        (lambda: bnn.models.resnet20((32, 32)), r"\(height, width, channels\). Received: input_shape=\(32, 32\)"),
        (lambda: bnn.models.resnet20(num_classes=0), "`units` must be a positive integer. Received: units=0"),
        (lambda: bnn.models.resnet20(estimator="dropout"), "`estimator` must be one of .* estimator='dropout'"),
    ],
)
def test_a_wrong_argument_gets_one_clear_error(make_model, message):
    with pytest.raises(ValueError, match=message):
        make_model()
