"""Exported files say what `predict` says, in processes without Keras."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW, on_jax_alone, on_tensorflow_alone
from tfp_bnn.exports import export

SEED, NUM_DRAWS, CUTOFF, TEMPERATURE = 3, 3, 0.4, 1.5
SUFFIXES = {"tf_saved_model": ".saved", "onnx": ".onnx", "litert": ".tflite"}
RNG = np.random.default_rng(0)


def compiled(model, likelihood):
    model.compile("adam", loss=likelihood)
    return model


def classifier():
    layers = [bnn.layers.Dense(8, activation="relu"), bnn.layers.Dense(3)]
    return compiled(keras.Sequential([keras.Input((4,), name="flowers"), *layers]), bnn.likelihoods.Categorical())


def image_classifier():
    layers = [
        bnn.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        bnn.layers.Dense(3, activation="softmax", bias_posterior=bnn.posteriors.MeanFieldNormal()),
    ]
    return compiled(keras.Sequential([keras.Input((6, 6, 2)), *layers]), bnn.likelihoods.Categorical(from_logits=False))


def yes_or_no():
    layers = [bnn.layers.DenseFlipout(4, activation="relu", use_bias=False), bnn.layers.Dense(1)]
    return compiled(keras.Sequential([keras.Input((4,)), *layers]), bnn.likelihoods.Bernoulli())


def regression():
    left, right = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    features = keras.layers.Concatenate()([bnn.layers.DenseFlipout(4, activation="tanh")(left), right])
    model = keras.Model({"right": right, "left": left}, bnn.layers.DenseVariational(2)(features))
    return compiled(model, bnn.likelihoods.Normal())


def tagger():
    layers = [
        keras.layers.Embedding(8, 4, mask_zero=True),
        bnn.layers.LSTM(5, return_sequences=True),
        bnn.layers.Dense(3),
    ]
    return compiled(keras.Sequential([keras.Input((4,), dtype="int32"), *layers]), bnn.likelihoods.Categorical())


X = {
    classifier: RNG.normal(size=(5, 4)).astype("float32"),
    yes_or_no: RNG.normal(size=(5, 4)).astype("float32"),
    image_classifier: RNG.normal(size=(5, 6, 6, 2)).astype("float32"),
    regression: {
        "left": RNG.normal(size=(5, 3)).astype("float32"),
        "right": RNG.normal(size=(5, 2)).astype("float32"),
    },
    tagger: RNG.integers(0, 8, size=(5, 4)).astype("int32"),
}

# Each format with fixed draws and with fresh ones, and each kind of outputs; not all together, as each is converted.
CASES = [
    (classifier, "tf_saved_model", "fresh"),
    (classifier, "onnx", "fresh"),
    *((image_classifier, format, "fixed") for format in ("onnx", "litert")),
    (yes_or_no, "litert", "fresh"),
    (regression, "tf_saved_model", "fixed"),
    (regression, "onnx", "fresh"),
    (tagger, "litert", "fixed"),
    (tagger, "tf_saved_model", "fresh"),
]
ON_JAX = [case for case in CASES if case[1] == "tf_saved_model" and case[0] is not tagger]


def name_of(case):
    make, format, draws = case
    return f"{make.__name__}-{format}-{draws}"


def expected_of(model, x):
    """Returns what `predict` says, by the names of the file."""
    predictive = bnn.predict(model, x, NUM_DRAWS, seed=SEED)
    if not predictive.predicts_classes():
        return {
            name: getattr(predictive, name)() for name in ("mean", "stddev", "epistemic_stddev", "aleatoric_stddev")
        }
    predictive = predictive.as_classes().at_temperature(TEMPERATURE)
    parts = ("entropy", "expected_entropy", "mutual_information")
    return {
        "probabilities": predictive.mean(),
        "decision": predictive.decide(cutoff=CUTOFF),
        **{name: getattr(predictive, name)() for name in parts},
    }


def tensors_of(make, draws):
    x = X[make]
    inputs = x if isinstance(x, dict) else {"flowers" if make is classifier else "inputs": x}
    return {**inputs, **({"seed": np.array(SEED, "int32")} if draws == "fresh" else {})}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the files say in another process, and what `predict` says, by case."""
    folder = tmp_path_factory.mktemp("files")
    models = {}
    for case in CASES if TENSORFLOW else ON_JAX:
        make, format, draws = case
        if make not in models:
            keras.utils.set_random_seed(1)
            models[make] = make()
            for variable in models[make].trainable_variables:
                if "bias" in variable.path and "rho" not in variable.path and make is not classifier:
                    variable.assign(RNG.normal(size=variable.shape))
        of_classes = {} if make is regression else {"cutoff": CUTOFF, "temperature": TEMPERATURE}
        seed = SEED if draws == "fixed" else None
        path = folder / (name_of(case) + SUFFIXES[format])
        export(models[make], path, format, NUM_DRAWS, draws=draws, seed=seed, **of_classes)
        np.savez(folder / name_of(case), **tensors_of(make, draws))
    # After all exports, which must leave the model as it was.
    expected = {make: expected_of(model, X[make]) for make, model in models.items()}
    program = Path(__file__).with_name("run_files.py")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, program, folder], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return folder, expected


@pytest.mark.parametrize("case", CASES if TENSORFLOW else ON_JAX, ids=name_of)
def test_the_file_says_what_predict_says(found, case):
    folder, expected = found
    for size, rows in (("all", slice(None)), ("two", slice(2))):
        says = dict(np.load(folder / f"{name_of(case)}-{size}.npz"))
        assert says.keys() == expected[case[0]].keys()
        for name, values in expected[case[0]].items():
            values = np.asarray(values)[rows]
            assert says[name].shape == values.shape
            assert says[name].dtype == ("int32" if name == "decision" else "float32")
            np.testing.assert_allclose(says[name], values, rtol=0, atol=1e-5, err_msg=name)


def test_some_inputs_are_decided_and_some_are_not(found):
    _, expected = found
    decisions = expected[classifier]["decision"]
    assert (decisions >= 0).any()


def make_of_inputs():
    return keras.Sequential([keras.Input((4,), name="seed"), bnn.layers.Dense(2)])


class Pair(keras.Model):
    """A model whose inputs are seen in its first call alone."""

    def __init__(self):
        super().__init__()
        self.dense = bnn.layers.Dense(2)

    def call(self, inputs, training=False):
        return self.dense(inputs)


OTHER_FORMATS = pytest.mark.skipif(not TENSORFLOW, reason="an error of its own on JAX")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "pickle"}, "`format` must be one of"),
        ({"draws": "some"}, "`draws` must be one of"),
        ({"path": 3}, "`path` must be a path"),
        pytest.param({"format": "onnx", "path": "x.bin"}, "must end in '.onnx'", marks=OTHER_FORMATS),
        pytest.param({"format": "litert", "path": "x.onnx"}, "must end in '.tflite'", marks=OTHER_FORMATS),
        ({"num_draws": 0}, "`num_draws` must be a positive integer"),
        ({"seed": 1.5}, "`seed` must be an integer or None"),
        ({"seed": 1, "draws": "fresh"}, "the file takes the seed"),
        ({"likelihood": "normal"}, "`likelihood` must be"),
        ({"temperature": 0}, "`temperature` must be positive"),
        ({"cutoff": 2}, "`cutoff` must be a number from 0 to 1"),
        ({"cutoff": 0.5, "abstain": 1}, "`abstain` must be an integer, and not one of the 3 classes"),
        ({"abstain": 7}, "`abstain` is the decision below a `cutoff`"),
        ({"outputs": ["decision"]}, "A decision needs a `cutoff`"),
        ({"outputs": ["mean"]}, "`outputs` must be names of 'probabilities'"),
        ({"outputs": []}, "`outputs` must be names of"),
        ({"likelihood": bnn.likelihoods.Normal(scale=1.0), "cutoff": 0.5}, "are of classes"),
        ({"num_draws": 10**8}, "Files end at 2 GiB"),
    ],
    ids=lambda value: value if isinstance(value, str) else ", ".join(value),
)
def test_wrong_arguments_are_one_clear_error(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=rf"(?s){message}.*Received: ."):
        export(classifier(), **{"path": tmp_path / "file", "num_draws": 2, **arguments})
    assert not list(tmp_path.iterdir())


def test_models_that_cannot_be_exported_are_one_clear_error(tmp_path):
    likelihood = bnn.likelihoods.Categorical()
    with pytest.raises(ValueError, match=r"(?s)has no weights before it is built.*Received: "):
        export(Pair(), tmp_path, likelihood=likelihood)
    entry = keras.Input((4,))
    two = keras.Model(entry, [bnn.layers.Dense(2)(entry), bnn.layers.Dense(2)(entry)])
    with pytest.raises(ValueError, match=r"(?s)models of one output.*Received: 2 outputs"):
        export(two, tmp_path, likelihood=[likelihood, likelihood])
    with pytest.raises(ValueError, match=r"(?s)export each member of an ensemble.*Received: 2 models"):
        export([classifier(), classifier()], tmp_path, likelihood=likelihood)
    with pytest.raises(ValueError, match=r"(?s)an input 'seed' of their own.*Received: "):
        export(make_of_inputs(), tmp_path, draws="fresh", likelihood=likelihood)
    entry = keras.Input((None, 4))
    with pytest.raises(ValueError, match=r"(?s)must know its positions.*Received: "):
        export(keras.Model(entry, bnn.layers.Dense(2)(entry)), tmp_path, draws="fresh", likelihood=likelihood)


@on_jax_alone
@pytest.mark.parametrize(("format", "name"), [("onnx", "m.onnx"), ("litert", "m.tflite")])
def test_other_formats_are_written_on_tensorflow(tmp_path, format, name):
    with pytest.raises(ValueError, match=r"(?s)KERAS_BACKEND=tensorflow.*Received: .*jax"):
        export(classifier(), tmp_path / name, format)


@on_tensorflow_alone
def test_only_what_is_asked_for_is_put_out_and_the_names_are_the_signature(tmp_path):
    import tensorflow as tf

    model = Pair()
    model(X[classifier])
    export(model, tmp_path, num_draws=2, outputs=("entropy",), likelihood=bnn.likelihoods.Categorical())
    signature = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    assert list(signature.structured_outputs) == ["entropy"]
    assert list(signature.structured_input_signature[1]) == ["inputs"]


@on_tensorflow_alone
def test_draws_that_only_the_backend_makes_are_one_clear_error(tmp_path):
    layers = [keras.Input((4,), dtype="float64"), bnn.layers.Dense(2, dtype="float64")]
    with pytest.raises(ValueError, match=r'(?s)write draws="fixed".*Received: '):
        export(keras.Sequential(layers), tmp_path, draws="fresh", likelihood=bnn.likelihoods.Categorical())
