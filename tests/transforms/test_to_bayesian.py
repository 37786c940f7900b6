"""Any Keras model made Bayesian, and back: the same function where weights do not vary, and trained from there."""

import math
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.contract import layer_contract
from tests.support.on_backends import TENSORFLOW, UNCOMPILED, numpy
from tests.transforms import catalogue
from tests.transforms.catalogue import CATALOGUE, Architecture

STDDEV = 1e-9
STILL = bnn.posteriors.MeanFieldNormal(initial_stddev=STDDEV)
# Regularizers and constraints are dropped, and said to be: `test_dropped_regularizers_...` is of that.
pytestmark = pytest.mark.filterwarnings("ignore:Regularizers and constraints", "ignore:`build()` was called on layer")


class Converted(NamedTuple):
    """An architecture, its model, and the model converted with standard deviations of next to nothing.

    Outputs are those of the model, and losses those of the converted one, with a weight of 1 for the KL term.
    """

    architecture: Architecture
    model: keras.Model
    bayesian: keras.Model
    inputs: Any
    targets: Any
    outputs: list[np.ndarray]
    outputs_converted: list[np.ndarray]
    losses: float
    has_other_losses: bool

    def agree(self, outputs):
        """Asserts that outputs are those that the original had."""
        for expected, got in zip(self.outputs, outputs, strict=True):
            assert got.shape == expected.shape
            np.testing.assert_allclose(got, expected, rtol=0, atol=self.architecture.tolerance * np.abs(expected).max())


@pytest.fixture(scope="module", params=CATALOGUE)
def converted(request):
    architecture = CATALOGUE[request.param]
    if not is_thorough() and (architecture.rare or not (architecture.saves or TENSORFLOW)):
        pytest.skip("only with --thorough")
    keras.utils.set_random_seed(20_151)
    model, inputs, targets = architecture.make()
    outputs, has_other_losses = outputs_of(model, inputs), bool(model.losses)
    assert all(np.isfinite(each).all() and np.abs(each).max() > 1e-3 for each in outputs)
    bayesian = bnn.to_bayesian(model, posterior=STILL)
    set_kl_weight(bayesian, 1.0)
    of_bayesian = outputs_of(bayesian, inputs), sum_of_losses(bayesian)
    return Converted(architecture, model, bayesian, inputs, targets, outputs, *of_bayesian, has_other_losses)


def set_kl_weight(model, weight):
    for layer in bayesian_layers(model):
        layer.kl_weight = weight


def sum_of_losses(model):
    return sum(float(loss) for loss in model.losses)


def is_thorough():
    return layer_contract.EVERY_CHECK_ON_EVERY_GEOMETRY


def outputs_of(model, inputs):
    """Returns the outputs as arrays; states of stateful layers start at 0."""
    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False):
            layer.reset_state()
    return [numpy(keras.ops.cast(each, "float32")) for each in keras.tree.flatten(model(inputs, training=False))]


def bayesian_layers(model):
    return bnn.layers.variational_layers(model)


NORMALIZATIONS = (
    *("BatchNormalization", "GroupNormalization", "LayerNormalization", "RMSNormalization"),
    *("SpectralNormalization", "PReLU"),
)


def weights_that_should_be_random(model):
    """Returns the weights of a plain model that are trained, but for biases and those of normalizations."""
    normalizations = [layer for layer in model._flatten_layers() if type(layer).__name__ in NORMALIZATIONS]
    kept = [inside for layer in normalizations for inside in layer._flatten_layers()]
    owners = [layer for layer in model._flatten_layers() if layer.trainable and layer not in kept]
    return [
        variable for layer in owners for variable in layer._trainable_variables if not variable.name.endswith("bias")
    ]


def means(model):
    return [
        numpy(variables.read().mean)
        for layer in bayesian_layers(model)
        for variables, _ in layer.random_weights.values()
    ]


def expected_kl(model):
    """Returns the sum over the weights w of a plain model of KL(N(w, STDDEV) || N(0, 1)), in nats."""
    weights = [numpy(weight) for weight in weights_that_should_be_random(model)]
    return sum(np.sum(0.5 * (weight**2 + STDDEV**2 - 1) - math.log(STDDEV)) for weight in weights)


def sizes(variables):
    return sum(math.prod(variable.shape) for variable in variables)


# Each architecture of the catalogue. Tests of one follow each other: the fixture makes it once.


def test_where_weights_do_not_vary_outputs_are_those_of_the_keras_model(converted):
    converted.agree(converted.outputs_converted)
    assert isinstance(converted.bayesian, type(converted.model))


def test_weights_are_random_but_for_biases_normalizations_and_frozen_ones(converted):
    model, bayesian = converted.model, converted.bayesian
    random = means(bayesian)
    expected = [numpy(weight) for weight in weights_that_should_be_random(model)]
    assert expected

    random, expected = (sorted(each, key=lambda weight: (weight.shape, weight.sum())) for each in (random, expected))
    for ours, theirs in zip(random, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # One standard deviation for each, and nothing else is new.
    number = sum(weight.size for weight in random)
    assert sizes(bayesian.trainable_variables) == sizes(model.trainable_variables) + number
    assert sizes(bayesian.weights) == sizes(model.weights) + number


def test_the_kl_term_is_the_sum_over_tensors_in_nats_once(converted):
    bayesian, others = converted.bayesian, 0.0
    if converted.has_other_losses:
        set_kl_weight(bayesian, 0.0)
        outputs_of(bayesian, converted.inputs)
        others = sum_of_losses(bayesian)
    expected = expected_kl(converted.model)
    assert converted.losses - others == pytest.approx(expected, rel=2e-5)
    assert float(bnn.kl_divergence(bayesian)) == pytest.approx(expected, rel=2e-5)


def test_converted_back_it_is_the_keras_model(converted):
    back = bnn.to_deterministic(converted.bayesian)
    assert type(back) is type(converted.model)
    assert not bayesian_layers(back)
    for ours, theirs in zip(back._flatten_layers(), converted.model._flatten_layers(), strict=True):
        assert type(ours) is type(theirs)
        assert ours.trainable == theirs.trainable or isinstance(ours, keras.layers.InputLayer)
    converted.agree(outputs_of(back, converted.inputs))


def test_saved_and_loaded_it_is_the_same(converted, tmp_path):
    if not converted.architecture.can_be_saved:
        pytest.skip("Keras does not load the model itself")
    if not (converted.architecture.saves or is_thorough()):
        pytest.skip("only with --thorough")
    converted.bayesian.save(tmp_path / "model.keras")
    own = {each.__name__: each for each in (catalogue.Block, catalogue.NotRegistered, catalogue.WithoutConfig)}
    loaded = keras.saving.load_model(tmp_path / "model.keras", custom_objects=own, safe_mode=False)
    converted.agree(outputs_of(loaded, converted.inputs))
    assert len(loaded.weights) == len(converted.bayesian.weights)
    assert len(loaded.trainable_variables) == len(converted.bayesian.trainable_variables)
    for ours, theirs in zip(means(loaded), means(converted.bayesian), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_it_learns(converted):
    if converted.architecture.large:
        pytest.skip("in many layers, noise hides what a few steps gain: the next test is of large networks")
    compiles = converted.architecture.compiles or is_thorough()
    if not (compiles or (converted.architecture.fits and TENSORFLOW)):
        pytest.skip("only with --thorough")
    # With so little noise that what a few steps gain is seen.
    bayesian = bnn.to_bayesian(converted.model, posterior=bnn.posteriors.MeanFieldNormal(initial_stddev=1e-3))
    bayesian.compile(keras.optimizers.Adam(0.03), "mse", **({} if compiles else UNCOMPILED))
    before = float(bnn.kl_divergence(bayesian))
    history = fit(bayesian, converted, epochs=12)
    assert np.isfinite(history["loss"]).all()
    # Means, since dropout has noise too.
    assert np.mean(history["loss"][-4:]) < np.mean(history["loss"][:4])
    assert history["kl"][0] == pytest.approx(before, rel=0.01)


def test_a_large_one_without_noise_trains_as_the_keras_model_does(converted):
    if not converted.architecture.large:
        pytest.skip("only for large networks")
    histories = []
    for model in (bnn.to_deterministic(converted.bayesian), bnn.to_bayesian(converted.model, posterior=STILL)):
        leave_out_what_is_chaotic(model)
        model.compile(keras.optimizers.Adam(1e-5), "mse", run_eagerly=True)
        histories.append(fit(model, converted, epochs=2))
    of_plain, of_bayesian = histories
    assert of_bayesian["nll"][0] == pytest.approx(of_plain["loss"][0], rel=1e-3)
    assert of_bayesian["nll"][1] < of_bayesian["nll"][0]
    assert of_bayesian["kl"][0] == pytest.approx(converted.losses, rel=1e-3)


def fit(model, converted, epochs):
    """Trains with all examples in each step, and returns what Keras logs of the epochs."""
    number = len(keras.tree.flatten(converted.inputs)[0])
    # At such a temperature the KL term is there, and the loss is that of the data.
    callbacks = [bnn.callbacks.KLWeight(num_examples=number, beta=1e-6)] if bayesian_layers(model) else []
    fitted = model.fit(
        converted.inputs, converted.targets, batch_size=number, epochs=epochs, verbose=0, callbacks=callbacks
    )
    return fitted.history


def leave_out_what_is_chaotic(model):
    """Leaves a model without noise but for that of weights, and without statistics of a batch of two small images.

    Two models would draw different masks; and normalized by two numbers, rounding becomes a sign.
    """
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


# What cannot be seen in the catalogue.


def test_a_model_that_makes_its_own_graph_stays_whole():
    model, inputs, targets = catalogue.subclassed_as_a_graph_of_shared_layers()
    bayesian = bnn.to_bayesian(model, posterior=STILL)
    assert bayesian.conv in bayesian.layers
    assert bayesian.heads[0] is bayesian.layers[-1]
    assert bayesian.conv in bayesian.maps.layers
    np.testing.assert_allclose(numpy(bayesian.maps(inputs)), numpy(model.maps(inputs)), atol=1e-5)
    assert bayesian.tracker is not model.tracker
    assert bayesian.tracker in bayesian.metrics
    bayesian.compile("sgd", "mse", run_eagerly=TENSORFLOW)
    bayesian.fit(inputs, targets, verbose=0, callbacks=[bnn.callbacks.KLWeight(num_examples=6)])
    assert bayesian.num_steps >= 1
    assert model.num_steps == 0


def test_a_graph_whose_class_cannot_be_made_anew_loses_it_and_says_so():
    class NoConfig(keras.Model):
        def __init__(self, units):
            inputs = keras.Input((4,))
            super().__init__(inputs, keras.layers.Dense(units)(inputs))

    model = NoConfig(3)
    with pytest.warns(UserWarning, match="methods of its class.* are lost.* Received: .*NoConfig"):
        converted = bnn.to_bayesian(model)
    assert not isinstance(converted, NoConfig)
    assert converted.output_shape == (None, 3)


class Tied(keras.layers.Layer):
    """Reads the kernel of a layer that is elsewhere."""

    def __init__(self, to, **kwargs):
        super().__init__(**kwargs)
        self.to = to

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(), name="scale")

    def call(self, inputs):
        return self.scale * inputs @ keras.ops.transpose(self.to.kernel)


class ReadsKernel(keras.Model):
    def __init__(self):
        super().__init__()
        self.encoder = keras.layers.Dense(3)

    def call(self, inputs):
        return self.encoder(inputs) @ keras.ops.transpose(self.encoder.kernel)


class OfDepth(keras.Model):
    def __init__(self, depth=1):
        super().__init__()
        self.stack = [keras.layers.Dense(4) for _ in range(depth)]

    def call(self, inputs):
        for layer in self.stack:
            inputs = layer(inputs)
        return inputs


def tied():
    inputs, encoder = keras.Input((4,)), keras.layers.Dense(3, name="encoder")
    return keras.Model(inputs, Tied(encoder, name="tied")(encoder(inputs)))


def called(model):
    model(np.ones((2, 4), "float32"))
    return model


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (tied, ValueError, "no longer share it.* Received: 'encoder' in 'encoder' and in 'tied'"),
        (lambda: called(ReadsKernel()), AttributeError, "left as it is: by `layers=`.* Received: 'kernel' of Dense"),
        (lambda: called(OfDepth(2)), ValueError, "does not have the layers.* different in stack.1"),
    ],
    ids=["tied weights", "code that reads a kernel", "arguments that are not known"],
)
def test_what_cannot_be_copied_gets_one_clear_error_before_training(make, error, message):
    with pytest.raises(error, match=message):
        bnn.to_bayesian(make())


def test_weights_that_a_class_of_models_adds_itself_are_said_to_stay_plain():
    class Scaled(keras.Model):
        def __init__(self):
            super().__init__()
            self.head = keras.layers.Dense(2)

        def build(self, input_shape):
            self.head.build(input_shape)
            self.scale = self.add_weight(shape=(2,), initializer="ones", name="scale")

        def call(self, inputs):
            return self.head(inputs) * self.scale

    with pytest.warns(UserWarning, match="stay plain.* Received: scale of 'scaled'"):
        bayesian = bnn.to_bayesian(called(Scaled()), posterior=STILL)
    assert len(means(bayesian)) == 1


# Which layers.


def test_no_layer_chosen_and_a_prior_that_is_none_get_one_clear_error():
    with pytest.raises(ValueError, match=r"choose one layer at least.* Received: layers=\[\]"):
        bnn.to_bayesian(three_layers(), layers=[])
    with pytest.raises(ValueError, match="Received: prior=3"):
        bnn.to_bayesian(three_layers(), prior=lambda layer: 3)


def three_layers():
    model = keras.Sequential(
        [
            keras.Input((4, 3)),
            keras.layers.Conv1D(3, 2, name="conv"),
            keras.layers.LSTM(3, name="lstm"),
            keras.layers.Dropout(0.1, name="dropout"),
            keras.layers.Dense(2, name="head"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.3, momentum=0.5), "mse", metrics=["mae"], **UNCOMPILED)
    return model


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ["conv", "lstm", "head"]),
        ("last", ["head"]),
        ("lstm", ["lstm"]),
        (keras.layers.Conv1D, ["conv"]),
        (lambda layer: "e" in layer.name, ["head"]),
        (["conv", keras.layers.Dense], ["conv", "head"]),
        (("last", "head", lambda layer: True), ["conv", "lstm", "head"]),
    ],
    ids=["all", "last", "name", "class", "function", "list", "more than once"],
)
def test_layers_are_chosen_by_name_class_or_function(choice, expected):
    model = bnn.to_bayesian(three_layers(), layers=choice)
    assert [layer.name for layer in bayesian_layers(model)] == expected
    assert [layer.name for layer in model.layers] == ["conv", "lstm", "dropout", "head"]


def test_the_last_layer_is_the_last_one_with_weights_in_models_inside_too():
    inside = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(2, name="inside")])
    model = keras.Sequential([keras.Input((4,)), inside, keras.layers.ReLU()])
    assert [layer.name for layer in bayesian_layers(bnn.to_bayesian(model, layers="last"))] == ["inside"]


def quantized():
    model = three_layers()
    model.quantize("int8")
    return model


def with_lora():
    model = three_layers()
    model.layers[-1].enable_lora(1)
    return model


def with_lora_inside():
    gated = catalogue.Gated(3)
    model, _, _ = catalogue.chain((4,), gated)
    gated.inside.enable_lora(1)
    return model


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (three_layers, {"layers": "tail"}, "No layer matches `layers`. .*conv, lstm, head. Received: layers='tail'"),
        (three_layers, {"layers": keras.layers.GRU}, "No layer matches"),
        (three_layers, {"layers": lambda layer: False}, "No layer matches"),
        (three_layers, {"layers": "dropout"}, "cannot be made Bayesian. Received: dropout"),
        (three_layers, {"layers": 3}, "`layers` must be"),
        (
            lambda: keras.Sequential([keras.layers.Dense(2)]),
            {},
            "model that is built|which has not seen an input|no layer",
        ),
        (lambda: keras.layers.Dense(2), {}, "Expected a Keras model. Received: <Dense"),
        (quantized, {}, "Quantized weights cannot be made random.*'int8'"),
        (with_lora, {}, "LoRA.* Received: layer 'head'"),
        (with_lora_inside, {}, "LoRA.* Received: layer 'dense"),
        (three_layers, {"init": "zeros"}, "`init` must be .*Received: init='zeros'"),
        (three_layers, {"prior": "normal"}, "`prior` must be .*Received: prior='normal'"),
        (three_layers, {"posterior": "normal"}, "`posterior` must be"),
        (three_layers, {"estimator": "dropout"}, "dropout"),
        (lambda: bnn.to_bayesian(three_layers()), {}, "no layer whose weights could be made random"),
    ],
)
def test_wrong_arguments_get_one_clear_error(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        bnn.to_bayesian(make(), **arguments)


# Priors.

L2, NUM_EXAMPLES = 1e-3, 500


def penalized(kernel_regularizer, **kwargs):
    dense = keras.layers.Dense(3, kernel_regularizer=kernel_regularizer, **kwargs)
    return keras.Sequential([keras.Input((4,)), dense, keras.layers.Dense(2)])


def test_an_l2_penalty_is_a_prior():
    model = penalized(keras.regularizers.L2(L2))
    bayesian = bnn.to_bayesian(model, prior="from_regularizer", num_examples=NUM_EXAMPLES)
    of_penalty, other = (layer.prior for layer in bayesian_layers(bayesian))
    # Keras adds l2 * w^2 to the mean loss of an example: N l2 w^2 = w^2 / (2 scale^2), here with a scale of 1.
    assert of_penalty.scale == pytest.approx(1 / math.sqrt(2 * L2 * NUM_EXAMPLES)) == pytest.approx(1.0)
    assert other.scale == 1.0
    narrow = bnn.to_bayesian(model, prior="from_regularizer", num_examples=100 * NUM_EXAMPLES)
    assert bayesian_layers(narrow)[0].prior.scale == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("penalty", "arguments", "message"),
    [
        ("l1", {"num_examples": 10}, "Only an L2 penalty is a Gaussian prior"),
        (keras.regularizers.L1L2(0.1, 0.1), {"num_examples": 10}, "Only an L2 penalty is a Gaussian prior"),
        ("l2", {}, "`num_examples` goes with"),
        ("l2", {"num_examples": 0}, "num_examples"),
        ("l2", {"prior": None, "num_examples": 10}, "`num_examples` goes with"),
    ],
)
def test_penalties_that_are_no_prior_get_one_clear_error(penalty, arguments, message):
    with pytest.raises(ValueError, match=message):
        bnn.to_bayesian(penalized(penalty), **{"prior": "from_regularizer"} | arguments)


def test_dropped_regularizers_and_constraints_are_said_once(recwarn):
    bayesian = bnn.to_bayesian(penalized("l2", name="penalized", bias_regularizer="l2"))
    said = [str(warning.message) for warning in recwarn if "Regularizers" in str(warning.message)]
    assert len(said) == 1
    assert "from_regularizer" in said[0]
    assert said[0].endswith("Received: penalized")
    # That of the bias, which stays a plain weight, is there.
    assert bayesian_layers(bayesian)[0].bias_regularizer is not None
    recwarn.clear()
    bnn.to_bayesian(penalized(None, bias_regularizer="l2"))
    bnn.to_bayesian(penalized("l2"), prior="from_regularizer", num_examples=10)
    assert not [warning for warning in recwarn if "Regularizers" in str(warning.message)]


def test_a_function_gives_each_layer_its_prior():
    bayesian = bnn.to_bayesian(three_layers(), prior=lambda layer: bnn.priors.Normal(len(layer.name)))
    assert [layer.prior.scale for layer in bayesian_layers(bayesian)] == [4, 4, 4]
    shared = bnn.priors.ScaleMixture(1.0, 0.1, 0.5, trainable=True)
    assert all(layer.prior is shared for layer in bayesian_layers(bnn.to_bayesian(three_layers(), prior=shared)))


def test_a_pretrained_prior_is_centred_at_the_trained_weights():
    model = three_layers()
    bayesian = bnn.to_bayesian(model, prior="pretrained", posterior=bnn.posteriors.MeanFieldNormal(0.5))
    number = sum(weight.size for weight in means(bayesian))
    # KL(N(w, 0.5) || N(w, 1)) for each weight w.
    expected = number * (math.log(1 / 0.5) + 0.5 * (0.5**2 - 1))
    assert float(bnn.kl_divergence(bayesian)) == pytest.approx(expected, rel=1e-5)


# Posteriors, estimators, and what stays.


def test_linear_layers_get_the_estimator_and_others_if_they_have_it():
    def estimators(name):
        return [
            type(layer.estimator).__name__ for layer in bayesian_layers(bnn.to_bayesian(three_layers(), estimator=name))
        ]

    assert estimators("antithetic") == ["Antithetic"] * 3
    assert estimators("local_reparameterization") == [
        *("LocalReparameterization", "Reparameterization", "LocalReparameterization")
    ]
    assert estimators(None) == ["Flipout", "Reparameterization", "Flipout"]


def test_standard_deviations_start_at_a_share_of_trained_weights():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.layers[0].set_weights([np.array([[3.0, -0.5], [0.001, 1.0]]), np.array([0.7, 0.0])])
    for arguments, share in (({}, 0.1), ({"posterior": bnn.posteriors.MeanFieldNormal(relative_stddev=0.3)}, 0.3)):
        (layer,) = bayesian_layers(bnn.to_bayesian(model, **arguments))
        posterior = layer.random_weights["kernel"][0].read()
        np.testing.assert_allclose(posterior.mean, [[3.0, -0.5], [0.001, 1.0]])
        # A weight near 0 has a hundredth of what one of the root mean square would have.
        least = 0.01 * math.sqrt((9 + 0.25 + 1e-6 + 1) / 4)
        expected = share * np.array([[3.0, 0.5], [least, 1.0]])
        np.testing.assert_allclose(posterior.stddev, expected, rtol=1e-5)
        np.testing.assert_allclose(layer.bias, [0.7, 0.0])


def test_random_weights_start_anew_and_all_others_stay():
    model, _, _ = catalogue.batch_normalization()
    bayesian = bnn.to_bayesian(model, init="random")
    stddevs = [numpy(q.read().stddev) for layer in bayesian_layers(bayesian) for q, _ in layer.random_weights.values()]
    np.testing.assert_allclose(np.concatenate([each.ravel() for each in stddevs]), 0.05, rtol=1e-5)
    for ours, theirs in zip(means(bayesian), weights_that_should_be_random(model), strict=True):
        assert np.abs(ours - numpy(theirs)).min() > 1e-6
    ours, theirs = (each.get_layer(index=1).get_weights() for each in (bayesian, model))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_compiled_model_stays_compiled():
    model = three_layers()
    model.fit(np.ones((2, 4, 3)), np.ones((2, 2)), verbose=0)
    bayesian = bnn.to_bayesian(model)
    assert type(bayesian.optimizer) is keras.optimizers.SGD
    assert bayesian.optimizer is not model.optimizer
    assert float(bayesian.optimizer.learning_rate) == pytest.approx(0.3)
    assert bayesian.optimizer.momentum == 0.5
    assert int(bayesian.optimizer.iterations) == 0
    assert bayesian.loss == "mse"
    assert bayesian.run_eagerly == model.run_eagerly
    history = bayesian.fit(np.ones((2, 4, 3)), np.ones((2, 2)), verbose=0, callbacks=[bnn.callbacks.KLWeight()]).history
    assert {"loss", "mae", "kl", "nll"} <= set(history)
    assert not bnn.to_bayesian(penalized(None)).compiled


def test_a_model_stays_compiled_with_functions_that_no_file_knows():
    shift = 1.0
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    model.compile(
        keras.optimizers.AdamW(schedule, clipnorm=1.0),
        lambda y, outputs: keras.ops.mean((outputs - y) ** 2) + shift,
        metrics=[keras.metrics.MeanAbsoluteError(name="error"), lambda y, outputs: keras.ops.mean(y)],
        **UNCOMPILED,
    )
    bayesian = bnn.to_bayesian(model, posterior=STILL)
    assert isinstance(bayesian.optimizer.get_config()["learning_rate"], dict)
    assert bayesian.optimizer.clipnorm == 1.0
    x = np.zeros((2, 3), "float32")
    loss, error, _ = bayesian.evaluate(x, bayesian.predict(x, verbose=0) + 2, verbose=0)
    assert loss == pytest.approx(4 + shift)
    assert error == pytest.approx(2)


def test_the_model_itself_stays_as_it_was():
    model, inputs, _ = catalogue.regularizers_and_constraints()
    weights, config = model.get_weights(), model.get_config()
    bayesian = bnn.to_bayesian(model)
    bayesian.set_weights([np.zeros_like(each) for each in bayesian.get_weights()])
    bayesian.trainable = False
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert model.get_config() == config
    dense = model.layers[0]
    assert dense.kernel.regularizer is dense.kernel_regularizer is not None
    assert dense.kernel.constraint is dense.kernel_constraint is not None
    assert len(model.trainable_weights) == 4
    assert len(model(inputs).shape) == 2
    assert len(model.losses) == 2


def test_the_noise_of_dropout_goes_on_as_it_would():
    with_noise, inputs, _ = catalogue.dropouts()
    with_noise(inputs, training=True)
    bayesian = bnn.to_bayesian(with_noise, posterior=STILL)
    outputs = numpy(with_noise(inputs, training=True))
    np.testing.assert_allclose(numpy(bayesian(inputs, training=True)), outputs, atol=1e-5)


def test_a_model_with_a_class_of_one_s_own_keeps_its_training_step_and_methods():
    class Own(keras.Model):
        def doubled(self, inputs):
            return 2 * self(inputs)

    inputs = keras.Input((4,))
    model = Own(inputs, keras.layers.Dense(2)(inputs))
    bayesian = bnn.to_bayesian(model, posterior=STILL)
    assert type(bayesian) is Own
    x = np.ones((2, 4), "float32")
    np.testing.assert_allclose(numpy(bayesian.doubled(x)), 2 * numpy(model(x)), atol=1e-6)
