"""Outputs of the layers: their moments, their noise within a batch, and their equality with Keras's own layers."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tfp_bnn.layers import VariationalLayer
from tfp_bnn.noise import counted

ESTIMATORS = ("Reparameterization", "LocalReparameterization", "Flipout")
NUM_DRAWS = 10_000
STANDARD_ERRORS = 5

# Keras layer, arguments, shape of the inputs.
CASES = {
    "dense": ("Dense", (3,), {}, (4, 5)),
    "dense on sequences": ("Dense", (3,), {}, (2, 3, 4)),
    "1D strides": ("Conv1D", (4, 3), {"strides": 2, "padding": "same"}, (2, 7, 2)),
    "1D causal, dilated": ("Conv1D", (4, 2), {"dilation_rate": 2, "padding": "causal"}, (2, 6, 3)),
    "2D": ("Conv2D", (3, 3), {}, (2, 5, 4, 2)),
    "2D groups": ("Conv2D", (4, (2, 3)), {"groups": 2, "padding": "same"}, (2, 4, 4, 4)),
    "3D": ("Conv3D", (2, 2), {"strides": 2}, (2, 4, 4, 4, 1)),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
estimators = pytest.mark.parametrize("estimator", ESTIMATORS)


def make(case, estimator, **kwargs):
    """Returns a Bayesian layer, the Keras layer of the same arguments, and inputs for both."""
    family, args, arguments, shape = case
    layer = getattr(bnn.layers, family + estimator)(*args, **arguments, **kwargs)
    reference = getattr(keras.layers, family)(*args, **arguments)
    inputs = np.random.default_rng(0).normal(size=shape).astype("float32")
    layer.build(shape)
    reference.build(shape)
    return layer, reference, inputs


def randomize(layer):
    """Gives the random weights of a layer means and standard deviations; returns them by name."""
    rng = np.random.default_rng(1)
    values = {}
    for name, (variables, _) in layer.random_weights.items():
        shape = variables.mean.shape
        values[name] = rng.normal(size=shape).astype("float32"), rng.uniform(0.2, 1.5, shape).astype("float32")
        variables.assign(*values[name])
    return values


def linear(reference, inputs, kernel, bias):
    """Returns the Keras layer's outputs with this kernel and bias."""
    reference.set_weights([kernel, bias])
    return keras.ops.convert_to_numpy(reference(inputs)).astype("float64")


def draw_outputs(layer, inputs):
    """Returns the noisy outputs of many draws, [draws, batch, ...]."""
    inputs = keras.ops.convert_to_tensor(inputs)

    def one_draw(seed):
        posteriors = {name: variables.read() for name, (variables, _) in layer.random_weights.items()}
        return layer.noisy_outputs(inputs, posteriors, counted(seed))[0]

    def all_draws(seeds):
        return keras.ops.map(one_draw, seeds)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        all_draws = tf.function(all_draws, autograph=False)
    seeds = np.stack([np.full(NUM_DRAWS, 11), 10 * np.arange(NUM_DRAWS)], axis=1).astype("int32")
    return keras.ops.convert_to_numpy(all_draws(keras.ops.convert_to_tensor(seeds))).astype("float64")


@cases
@estimators
def test_mean_and_variance_of_the_outputs_are_those_of_the_weights(case, estimator):
    layer, reference, inputs = make(case, estimator, bias_posterior=bnn.posteriors.MeanFieldNormal())
    values = randomize(layer)
    (kernel_mean, kernel_stddev), (bias_mean, bias_stddev) = values["kernel"], values["bias"]
    outputs = draw_outputs(layer, inputs)

    mean = linear(reference, inputs, kernel_mean, bias_mean)
    variance = linear(reference, inputs**2, kernel_stddev**2, bias_stddev**2)
    np.testing.assert_array_less(
        np.abs(outputs.mean(axis=0) - mean), STANDARD_ERRORS * np.sqrt(variance / NUM_DRAWS) + 1e-4
    )
    np.testing.assert_array_less(
        np.abs(outputs.var(axis=0) - variance), STANDARD_ERRORS * variance * np.sqrt(2 / NUM_DRAWS)
    )


@pytest.mark.parametrize("family", ["Dense", "Conv2D"])
@estimators
def test_only_reparameterization_shares_its_noise_within_a_batch(family, estimator):
    case = CASES["dense"] if family == "Dense" else CASES["2D"]
    layer, _, inputs = make(case, estimator, bias_posterior=bnn.posteriors.MeanFieldNormal())
    randomize(layer)
    inputs = np.repeat(inputs[:1], 2, axis=0)  # the same example twice: only the noise can differ
    outputs = draw_outputs(layer, inputs)
    noise = (outputs - outputs.mean(axis=0)) / outputs.std(axis=0)
    correlation = (noise[:, 0] * noise[:, 1]).mean(axis=0)
    if estimator == "Reparameterization":
        np.testing.assert_allclose(outputs[:, 0], outputs[:, 1], rtol=1e-4, atol=1e-4)
    else:
        assert np.abs(correlation).max() < STANDARD_ERRORS / np.sqrt(NUM_DRAWS)


@cases
@estimators
def test_without_noise_a_layer_is_the_keras_layer(case, estimator):
    layer, reference, inputs = make(case, estimator, activation="tanh")
    kernel = np.random.default_rng(2).normal(size=layer.random_weights["kernel"][0].mean.shape).astype("float32")
    layer.random_weights["kernel"][0].assign(kernel, 0.0)
    layer.bias.assign(np.arange(layer.bias.shape[0], dtype="float32"))
    expected = np.tanh(linear(reference, inputs, kernel, np.arange(layer.bias.shape[0], dtype="float32")))
    outputs = keras.ops.convert_to_numpy(layer(inputs))
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
    assert outputs.shape == layer.compute_output_shape(inputs.shape) == reference.compute_output_shape(inputs.shape)


def test_dense_variational_draws_kernel_and_bias_together():
    layer = bnn.layers.DenseVariational(3)
    inputs = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    layer.build(inputs.shape)
    mean, stddev = randomize(layer)["weights"]
    outputs = draw_outputs(layer, inputs)
    variance = inputs**2 @ stddev[:-1] ** 2 + stddev[-1] ** 2
    error = np.abs(outputs.mean(axis=0) - (inputs @ mean[:-1] + mean[-1]))
    np.testing.assert_array_less(error, STANDARD_ERRORS * np.sqrt(variance / NUM_DRAWS))
    np.testing.assert_array_less(
        np.abs(outputs.var(axis=0) - variance), STANDARD_ERRORS * variance * np.sqrt(2 / NUM_DRAWS)
    )


def test_a_dense_variational_without_bias_is_a_product():
    layer = bnn.layers.DenseVariational(3, use_bias=False)
    inputs = np.ones((2, 4), "float32")
    layer.build(inputs.shape)
    layer.random_weights["weights"][0].assign(np.full((4, 3), 2.0), 0.0)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(inputs)), np.full((2, 3), 8.0), rtol=1e-6)


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="TensorFlow's CPU kernels have no channels-first convolutions"
)
@estimators
def test_channels_first_is_channels_last_transposed(estimator):
    arguments = {"kl_weight": 0.1, "seed": 3, "bias_posterior": bnn.posteriors.MeanFieldNormal(0.5)}
    layer_class = getattr(bnn.layers, "Conv2D" + estimator)
    first, last = (layer_class(4, 3, data_format=f"channels_{order}", **arguments) for order in ("first", "last"))
    inputs = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype("float32")
    outputs_last = keras.ops.convert_to_numpy(last(inputs))
    first.build((2, 3, 5, 6))
    for mine, theirs in zip(first.random_weights.values(), last.random_weights.values(), strict=True):
        mine[0].mean.assign(theirs[0].mean)
    if estimator == "LocalReparameterization":  # its noise has the outputs' shape, so only the mean can be compared
        for layer in (first, last):
            for variables, _ in layer.random_weights.values():
                variables.assign(keras.ops.convert_to_numpy(variables.mean), 0.0)
        outputs_last = keras.ops.convert_to_numpy(last(inputs))
    outputs_first = keras.ops.convert_to_numpy(first(inputs.transpose(0, 3, 1, 2)))
    np.testing.assert_allclose(outputs_first.transpose(0, 2, 3, 1), outputs_last, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_call_draws_anew_and_a_seed_repeats_the_draws(estimator):
    layers = [getattr(bnn.layers, "Dense" + estimator)(3, seed=5) for _ in range(2)]
    inputs = np.ones((2, 4), "float32")
    for layer in layers:
        layer.build(inputs.shape)
    layers[1].set_weights(layers[0].get_weights())
    (first, second), (again, _) = [[keras.ops.convert_to_numpy(layer(inputs)) for _ in range(2)] for layer in layers]
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - second).min() > 0


def test_an_input_of_zeros_has_finite_gradients_with_local_reparameterization():
    model = keras.Sequential([keras.Input((4,)), bnn.layers.DenseLocalReparameterization(2, kl_weight=0.1)])
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    model.fit(np.zeros((8, 4)), np.ones((8, 2)), verbose=0)
    assert all(np.isfinite(weights).all() for weights in model.get_weights())


@pytest.mark.parametrize(
    ("make_layer", "message"),
    [
        (lambda: bnn.layers.DenseFlipout(-1), r"`units` must be a positive integer. Received: units=-1"),
        (lambda: bnn.layers.DenseVariational(2.5), r"`units` must be a positive integer. Received: units=2.5"),
        (lambda: bnn.layers.Conv2DFlipout(0, 3), r"`filters` must be a positive integer. Received: filters=0"),
        (lambda: bnn.layers.Conv2DFlipout(5, 3, groups=2), r"groups=2"),
        (lambda: bnn.layers.Conv2DFlipout(4, 3, groups=0), r"groups=0"),
        (lambda: bnn.layers.Conv2DFlipout(4, 0), r"kernel_size"),
        (lambda: bnn.layers.Conv2DFlipout(4, 3, padding="causal"), r"causal"),
        (lambda: bnn.layers.Conv2DFlipout(4, 3, strides=2, dilation_rate=2), r"dilation_rate"),
        (lambda: bnn.layers.DenseFlipout(4, prior="normal"), r"`prior` must be a tfp_bnn.priors.Prior"),
        (lambda: bnn.layers.DenseFlipout(4, posterior=3), r"`posterior` must be a tfp_bnn.posteriors.Posterior"),
        (lambda: bnn.layers.DenseVariational(4, prior="x"), r"`prior` must be a tfp_bnn.priors.Prior or a function"),
        (lambda: bnn.layers.DenseFlipout(4, kl_weight=-1.0), r"`kl_weight` .* Received: kl_weight=-1.0"),
        (lambda: bnn.layers.DenseFlipout(4, bias_prior=bnn.priors.Normal()), r"`bias_prior` needs a `bias_posterior`"),
        (
            lambda: bnn.layers.DenseFlipout(4, use_bias=False, bias_posterior=bnn.posteriors.MeanFieldNormal()),
            r"`bias_posterior` needs a bias",
        ),
    ],
)
def test_a_wrong_argument_gets_one_clear_error(make_layer, message):
    with pytest.raises(ValueError, match=message):
        make_layer()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (bnn.layers.DenseFlipout, (None,), r"\[batch, ..., features\]"),
        (bnn.layers.DenseVariational, (4, None), r"known number of features"),
        (lambda n: bnn.layers.Conv2DFlipout(n, 3), (4, 8, 8), r"takes inputs with 4 axes"),
        (lambda n: bnn.layers.Conv2DFlipout(n, 3), (4, 8, 8, None), r"input channels must be known"),
        (lambda n: bnn.layers.Conv2DFlipout(n, 3, groups=2), (4, 8, 8, 3), r"divisible by `groups`.*groups=2"),
        (lambda n: bnn.layers.Conv2DFlipout(n, 9), (4, 8, 8, 3), r"[Nn]egative|non-positive|dimension"),
    ],
)
def test_inputs_of_a_wrong_shape_get_one_clear_error(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer(4).build(shape)


def test_the_spellings_of_tfp_are_the_same_layers():
    for rank in (1, 2, 3):
        for ending in ("Flipout", "Reparameterization"):
            alias = getattr(bnn.layers, f"Convolution{rank}D{ending}")
            assert alias is getattr(bnn.layers, f"Conv{rank}D{ending}")


def test_every_public_layer_is_final_and_documented():
    final = [value for value in vars(bnn.layers).values() if isinstance(value, type) and value is not VariationalLayer]
    final = [value for value in final if issubclass(value, VariationalLayer)]
    assert len({*final}) == 13
    for layer in final:
        for section in ("Args:", "Raises:", "Example:", "Source:"):
            assert section in layer.__doc__, (layer, section)
