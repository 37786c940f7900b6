"""Networks that end in a softmax or a sigmoid: their outputs are refused as logits, or taken for what they are."""

import functools
import math

import keras
import numpy as np
import pytest
from scipy import special

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW, double_precision, numpy, on_tensorflow_alone
from tfp_bnn import likelihoods
from tfp_bnn.likelihoods import heads

N, FEATURES, CLASSES = 60, 4, 3
X = np.random.default_rng(0).normal(size=(N, FEATURES)).astype("float32")
LABELS = (X[:, :CLASSES]).argmax(axis=-1)
YES = (X[:, 0] > 0.3).astype("float32")


def network(units, activation=None):
    return keras.Sequential([keras.Input((FEATURES,)), bnn.layers.DenseFlipout(units, activation=activation)])


class HiddenHead(keras.Model):
    """A softmax that no layer tells of."""

    def __init__(self):
        super().__init__()
        self.dense = bnn.layers.DenseFlipout(CLASSES)

    def call(self, inputs):
        return keras.activations.softmax(self.dense(inputs))


def functional(head):
    inputs = keras.Input((FEATURES,))
    return keras.Model(inputs, head(keras.layers.Dense(CLASSES)(inputs)))


HEADS = {
    "activation": lambda: network(CLASSES, "softmax"),
    "layer": lambda: functional(keras.layers.Softmax()),
    "activation layer": lambda: functional(keras.layers.Activation("softmax")),
    "operation": lambda: functional(keras.ops.softmax),
    "function": lambda: functional(keras.activations.softmax),
    "partial": lambda: network(CLASSES, functools.partial(keras.activations.softmax, axis=-1)),
    "reshaped": lambda: functional(lambda x: keras.layers.Reshape((1, CLASSES))(keras.layers.Softmax()(x))),
    "nested": lambda: keras.Sequential([keras.Input((FEATURES,)), network(CLASSES, "softmax")]),
    "nested twice": lambda: functional(keras.Sequential([keras.Sequential([keras.layers.Dense(3, "softmax")])])),
    "positions": lambda: functional(
        lambda x: keras.layers.TimeDistributed(keras.layers.Dense(CLASSES, "softmax"))(keras.layers.RepeatVector(2)(x))
    ),
}


@pytest.mark.parametrize("head", HEADS)
def test_a_softmax_is_seen_in_a_model_however_it_is_written(head):
    model = HEADS[head]()
    assert heads.activation_of_model(model) == "softmax"
    with pytest.raises(ValueError, match=r"write Categorical\(from_logits=False\).* Received: outputs of a softmax"):
        likelihoods.Categorical().check_model(model)
    likelihoods.Categorical(from_logits=False).check_model(model)
    likelihoods.Normal(1.0).check_model(model)
    with pytest.raises(ValueError, match="probabilities that a sigmoid makes"):
        likelihoods.Bernoulli(from_logits=False).check_model(model)


@pytest.mark.parametrize(
    "model",
    [
        lambda: network(CLASSES),
        lambda: network(CLASSES, "tanh"),
        lambda: network(CLASSES, "log_softmax"),  # these are logits
        lambda: functional(lambda x: keras.layers.Dense(CLASSES)(keras.layers.Softmax()(x))),
        lambda: functional(lambda x: keras.layers.LSTM(2, activation="sigmoid")(keras.layers.RepeatVector(2)(x))),
        lambda: keras.Sequential(),
        HiddenHead,
    ],
)
def test_other_heads_pass(model):
    assert heads.activation_of_model(model()) is None


def test_a_sequential_model_that_is_not_built_tells_of_its_last_layer():
    assert heads.activation_of_model(keras.Sequential([bnn.layers.DenseFlipout(1, activation="sigmoid")])) == "sigmoid"


def test_a_head_of_several_outputs_is_told_for_each():
    inputs = keras.Input((FEATURES,))
    model = keras.Model(inputs, [keras.layers.Dense(3)(inputs), keras.layers.Dense(1, "sigmoid")(inputs)])
    assert [heads.activation_of_model(model, output) for output in (0, 1)] == [None, "sigmoid"]
    assert [heads.activation_of(output) for output in model.outputs] == [None, "sigmoid"]


@on_tensorflow_alone  # JAX's tracers carry no note; `check_model` looks before training.
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(("units", "activation", "name"), [(3, "softmax", "Categorical"), (1, "sigmoid", "Bernoulli")])
def test_the_first_training_step_refuses_such_a_head(units, activation, name, jit_compile, policy):
    layer = keras.layers.Dense(units, activation, dtype=policy)
    model = keras.Sequential([keras.Input((FEATURES,)), layer])
    model.compile("sgd", loss=getattr(likelihoods, name)(), jit_compile=jit_compile)
    with pytest.raises(ValueError, match=f"{name} takes logits.* Received: outputs of a {activation}"):
        model.fit(X, LABELS if units > 1 else YES, verbose=0)


@on_tensorflow_alone
def test_the_first_training_step_refuses_a_head_that_only_code_tells_of():
    model = HiddenHead()
    model.compile("sgd", loss=likelihoods.Categorical())
    with pytest.raises(ValueError, match="Received: outputs of a softmax"):
        model.fit(X, LABELS, verbose=0)


def test_outputs_computed_at_once_are_refused_by_every_method():
    outputs = network(CLASSES, "softmax")(X)
    likelihood = likelihoods.Categorical()
    for method in (likelihood.mean, likelihood.variance, likelihood.entropy, likelihood.class_logits):
        with pytest.raises(ValueError, match="Categorical takes logits"):
            method(outputs)
    with pytest.raises(ValueError, match="Categorical takes logits"):
        likelihood.log_prob(outputs, LABELS)


def test_drawn_outputs_that_add_up_to_one_are_no_logits():
    outputs = special.softmax(np.random.default_rng(0).normal(size=(5, N, CLASSES)), axis=-1).astype("float32")
    with pytest.raises(ValueError, match="Received: outputs of a softmax"):
        likelihoods.Categorical().check_drawn_outputs(outputs)
    likelihoods.Categorical(from_logits=False).check_drawn_outputs(outputs)
    outputs[3, 50] += 0.01
    likelihoods.Categorical().check_drawn_outputs(outputs)
    likelihoods.Categorical().check_drawn_outputs(np.zeros((5, 0, CLASSES)))
    # Hand-made one-hot logits are legitimate in what is not drawn.
    assert bnn.Predictive(np.eye(3)[LABELS][np.newaxis], likelihoods.Categorical()).mean().shape == (N, 3)


def test_drawn_logits_are_no_probabilities():
    logits = np.random.default_rng(0).normal(size=(5, N, CLASSES))
    with pytest.raises(ValueError, match=r"must end in a softmax.* Received: an output of"):
        likelihoods.Categorical(from_logits=False).check_drawn_outputs(logits)
    with pytest.raises(ValueError, match=r"must end in a softmax.* Received: a sum of"):
        likelihoods.Categorical(from_logits=False).check_drawn_outputs(special.expit(logits))
    with pytest.raises(ValueError, match=r"must end in a sigmoid.* Received: an output of"):
        likelihoods.Bernoulli(from_logits=False).check_drawn_outputs(logits)
    likelihoods.Bernoulli(from_logits=False).check_drawn_outputs(special.expit(logits))
    likelihoods.Bernoulli().check_drawn_outputs(special.expit(logits))


# from_logits=False: everything is as of the logits behind the probabilities

CASES = {
    "Categorical": (likelihoods.Categorical, CLASSES, "softmax", LABELS),
    "Bernoulli": (likelihoods.Bernoulli, 1, "sigmoid", YES),
}
all_cases = pytest.mark.parametrize("case", CASES)


def pair_of(case, scale=1.0):
    """Returns the predictive distribution of logits, and that of their probabilities."""
    family, units, activation, _ = CASES[case]
    logits = scale * np.random.default_rng(1).normal(size=(7, N, units)).astype("float32")
    probabilities = numpy(getattr(keras.activations, activation)(keras.ops.convert_to_tensor(logits)))
    of_probabilities = family(from_logits=False)
    return bnn.Predictive(logits, family()), bnn.Predictive(probabilities.astype("float32"), of_probabilities)


@all_cases
def test_a_prediction_of_probabilities_is_that_of_their_logits(case):
    of_logits, of_probabilities = pair_of(case)
    y = CASES[case][-1]
    for method, arguments in {
        "mean": (),
        "class_probabilities": (),
        "log_prob": (y,),
        "entropy": (),
        "expected_entropy": (),
        "epistemic_stddev": (),
        "aleatoric_stddev": (),
    }.items():
        expected, found = (getattr(p, method)(*arguments) for p in (of_logits, of_probabilities))
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6, err_msg=method)
    for made in ("as_classes", "at_temperature"):
        arguments = (2.0,) if made == "at_temperature" else ()
        expected, found = (getattr(p, made)(*arguments) for p in (of_logits, of_probabilities))
        np.testing.assert_allclose(found.mean(), expected.mean(), rtol=2e-5, atol=1e-6)
        assert found.likelihood.from_logits
    found, expected = (bnn.calibrate_temperature(p, y) for p in (of_probabilities, of_logits))
    assert found == pytest.approx(expected, rel=1e-3)
    chunks = [
        bnn.prediction.averages.average_over_draws([p.outputs], p.likelihood, y) for p in (of_logits, of_probabilities)
    ]
    for name, expected in chunks[0].items():
        np.testing.assert_allclose(chunks[1][name], expected, rtol=1e-4, atol=1e-6)


@all_cases
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probabilities_of_0_and_1_have_finite_logits(case, dtype):
    family, units, *_ = CASES[case]
    certain = np.eye(units, dtype=dtype) if units > 1 else np.array([[0.0], [1.0]], dtype)
    likelihood, wrong = family(from_logits=False), np.array([1, 2, 0]) if units > 1 else np.array([1, 0])
    with double_precision():
        outputs = keras.ops.convert_to_tensor(certain)
        for values in (likelihood.class_logits(outputs), likelihood.log_prob(outputs, wrong)):
            assert np.isfinite(numpy(values)).all()
        np.testing.assert_allclose(numpy(likelihood.mean(outputs)), certain, atol=1e-7)
        np.testing.assert_allclose(numpy(likelihood.entropy(outputs)), 0, atol=3e-6)


@all_cases
def test_what_is_no_probability_makes_the_loss_not_a_number(case):
    family, units, *_ = CASES[case]
    outputs = np.full((2, units), -0.5, "float32")
    assert math.isnan(float(family(from_logits=False)(np.array([0, 1]), outputs)))


@all_cases
def test_training_on_probabilities_is_training_on_logits(case):
    family, units, activation, y = CASES[case]
    plain = keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(units)])
    headed = keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(units, activation)])
    headed.set_weights(plain.get_weights())
    # JAX's tracers carry no note of the logits: where probabilities round to 0 or 1, their gradient is lost.
    x, losses = (20 if TENSORFLOW else 2) * X, []
    for model, likelihood in ((plain, family()), (headed, family(from_logits=False))):
        model.compile(keras.optimizers.SGD(0.5), loss=likelihood)
        losses.append(model.fit(x, y, epochs=3, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-3)
    np.testing.assert_allclose(headed.get_weights()[0], plain.get_weights()[0], rtol=1e-3, atol=1e-4)


@all_cases
def test_a_prediction_has_the_nats_of_training(case):
    family, units, activation, y = CASES[case]
    model = network(units, activation)
    for layer in bnn.layers.variational_layers(model):
        layer.kl_weight = 0.0
        for weight in layer.trainable_variables:
            if "rho" in weight.path:
                weight.assign(np.full(weight.shape, -20.0))
    model.compile("sgd", loss=family(from_logits=False))
    nats = model.evaluate(X, y, verbose=0)
    predictive = bnn.predict(model, X, num_draws=3, seed=0)
    assert -predictive.log_prob(y).mean() == pytest.approx(nats, rel=1e-4)
    logits = network(units)
    logits.set_weights(model.get_weights())
    expected = bnn.predict(logits, X, num_draws=3, likelihood=family(), seed=0)
    np.testing.assert_allclose(predictive.class_probabilities(), expected.class_probabilities(), rtol=1e-5, atol=1e-6)


@all_cases
def test_from_logits_is_in_the_config_and_configs_of_old_load(case, tmp_path):
    family, units, activation, _ = CASES[case]
    model = network(units, activation)
    model.compile("sgd", loss=family(from_logits=False))
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").loss.from_logits is False
    assert family.from_config({"name": "nll", "reduction": "sum_over_batch_size"}).from_logits is True
    with pytest.raises(ValueError, match=r"`from_logits` must be True or False. Received: from_logits='no'"):
        family(from_logits="no")


# Metrics of Keras that take softmaxes themselves


@pytest.mark.parametrize("metric", [bnn.metrics.BrierScore, bnn.metrics.ExpectedCalibrationError])
def test_running_metrics_take_probabilities_for_what_they_are(metric):
    logits = np.random.default_rng(2).normal(size=(N, CLASSES)).astype("float32")
    of_logits, of_probabilities = metric(), metric(from_logits=False)
    of_logits.update_state(LABELS, logits)
    of_probabilities.update_state(LABELS, special.softmax(logits, axis=-1))
    assert float(of_probabilities.result()) == pytest.approx(float(of_logits.result()), rel=1e-5)
    assert metric.from_config(of_probabilities.get_config()).get_config()["from_logits"] is False
    for wrong in (metric(), bnn.metrics.NegativeLogLikelihood()):
        with pytest.raises(ValueError, match="takes logits"):
            wrong.update_state(LABELS, network(CLASSES, "softmax")(X))


@all_cases
def test_fit_and_predict_refuse_logits_that_are_probabilities(case):
    family, units, activation, y = CASES[case]
    model = network(units, activation)
    model.compile("sgd", loss=family())
    refusal = rf"{family.__name__} takes logits.*{family.__name__}\(from_logits=False\)"
    with pytest.raises(ValueError, match=refusal):
        model.fit(X, y, verbose=0, callbacks=[bnn.callbacks.KLWeight()])
    with pytest.raises(ValueError, match=refusal):
        bnn.predict(model, X, num_draws=2)
    with pytest.raises(ValueError, match=refusal):
        bnn.summarize(model, X, y, num_draws=2)


def test_fit_refuses_such_a_head_among_several():
    inputs = keras.Input((FEATURES,))
    hidden = bnn.layers.DenseFlipout(4)(inputs)
    heads_of_model = {"label": keras.layers.Dense(CLASSES, "softmax")(hidden), "value": keras.layers.Dense(1)(hidden)}
    model = keras.Model(inputs, heads_of_model)
    model.compile("sgd", loss={"label": likelihoods.Categorical(), "value": likelihoods.Normal(1.0)})
    with pytest.raises(ValueError, match="Categorical takes logits"):
        model.fit(X, {"label": LABELS, "value": X[:, :1]}, verbose=0, callbacks=[bnn.callbacks.KLWeight()])
