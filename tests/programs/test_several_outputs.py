"""Networks with several outputs: each has its likelihood, and all share their draws."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW, on_tensorflow_alone
from tfp_bnn import layers, likelihoods

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 3)).astype("float32")
Y = {"kind": RNG.integers(0, 4, 12), "price": RNG.normal(size=12).astype("float32")}
LOSSES = {"kind": likelihoods.Categorical(), "price": likelihoods.Normal(scale=0.5)}
QUIET = {"num_draws": 6, "seed": 2, "verbose": False}


def heads(entry):
    body = layers.DenseFlipout(5, "relu")(entry)
    return layers.DenseFlipout(4, name="kind")(body), layers.DenseFlipout(1, name="price")(body)


def of_dict():
    entry = keras.Input((3,))
    return keras.Model(entry, dict(zip(("kind", "price"), heads(entry), strict=True)))


def of_list():
    entry = keras.Input((3,))
    return keras.Model(entry, list(heads(entry)))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.body = layers.DenseFlipout(5, "relu")
        self.heads = [layers.DenseFlipout(4), layers.DenseFlipout(1)]

    def call(self, x):
        x = self.body(x)
        return {"kind": self.heads[0](x), "price": self.heads[1](x)}


MODELS = {"dict": (of_dict, LOSSES), "list": (of_list, list(LOSSES.values())), "subclassed": (Subclassed, LOSSES)}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    make, loss = MODELS[request.param]
    model = make()
    model.compile("sgd", loss, loss_weights=[1.0, 0.25] if request.param == "list" else {"kind": 1.0, "price": 0.25})
    y = list(Y.values()) if request.param == "list" else Y
    model.history_of_fit = model.fit(X, y, 4, 2, verbose=0, callbacks=[bnn.callbacks.KLWeight()]).history
    return model


def as_dict(values):
    return values if isinstance(values, dict) else dict(zip(Y, values, strict=True))


def test_each_output_has_a_predictive_in_the_structure_of_the_model(model):
    predictives, summaries = bnn.predict(model, X, **QUIET), bnn.summarize(model, X, **QUIET)
    assert type(predictives) is type(summaries) is (list if isinstance(model.loss, list) else dict)
    kind, price = (as_dict(predictives)[name] for name in Y)
    assert kind.mean().shape == (12, 4)
    assert price.mean().shape == (12, 1)
    assert isinstance(kind.likelihood, likelihoods.Categorical)
    assert price.aleatoric_stddev().ravel() == pytest.approx(0.5)
    np.testing.assert_allclose(as_dict(summaries)["kind"].mean(), kind.mean(), rtol=1e-4)


def test_the_draws_are_of_the_same_networks(model):
    alone = (
        keras.Model(model.inputs, keras.tree.flatten(model.outputs)[1]) if not isinstance(model, Subclassed) else None
    )
    both = bnn.predict(model, np.repeat(X[:1], 2, axis=0), **QUIET)
    for each in as_dict(both).values():
        # One network answers equal inputs alike.
        np.testing.assert_allclose(each.outputs[:, 0], each.outputs[:, 1], rtol=1e-5, atol=1e-6)
    if alone is not None:
        # Its body is drawn first in both.
        drawn = bnn.predict(alone, X, likelihood=LOSSES["price"], **QUIET)
        assert drawn.outputs.shape == (6, 12, 1)


def test_figures_are_of_each_output_and_of_all(model):
    figures = bnn.evaluate(model, X, Y, **QUIET)
    names = sorted({name.split("_nll")[0] for name in figures if name.endswith("_nll")})
    assert len(figures) == 5
    predictives = as_dict(bnn.predict(model, X, **QUIET))
    nll = {name: -predictives[name].log_prob(Y[name]).mean() for name in Y}
    assert [figures[f"{name}_nll"] for name in names] == pytest.approx([nll[name] for name in Y], rel=1e-4)
    assert figures["nll"] == pytest.approx(nll["kind"] + 0.25 * nll["price"], rel=1e-4)
    assert figures[f"{names[0]}_accuracy"] == pytest.approx((predictives["kind"].mean().argmax(-1) == Y["kind"]).mean())


def test_training_logs_each_output_and_counts_the_kl_term_once(model):
    history = {name: values[-1] for name, values in model.history_of_fit.items()}
    parts = {name: value for name, value in history.items() if name.endswith("_loss")}
    assert len(parts) == 2
    kind, price = parts.values()
    assert history["nll"] == pytest.approx(kind + 0.25 * price, rel=1e-4)
    assert history["loss"] == pytest.approx(history["nll"] + history["kl"] / len(X), rel=1e-4)


@on_tensorflow_alone
def test_the_callback_logs_figures_of_each_output():
    model = of_dict()
    model.compile("sgd", LOSSES)
    callback = bnn.callbacks.PredictiveMetrics(X, Y, num_draws=3)
    stop = keras.callbacks.EarlyStopping("val_predictive_kind_accuracy", patience=9)
    callbacks = [bnn.callbacks.KLWeight(), callback, stop]
    history = model.fit(X, Y, epochs=2, verbose=0, callbacks=callbacks).history
    expected = {"nll", "kind_nll", "kind_accuracy", "price_nll", "price_rmse"}
    assert {f"val_predictive_{name}" for name in expected} <= history.keys()


@on_tensorflow_alone
def test_some_outputs_may_have_no_likelihood():
    model = of_dict()
    predictives = bnn.predict(model, X, likelihood={"price": LOSSES["price"]}, **QUIET)
    assert predictives["kind"] is None
    assert predictives["price"].mean().shape == (12, 1)
    assert set(bnn.evaluate(model, X, {"price": Y["price"]}, likelihood=LOSSES, **QUIET)) == {
        "nll",
        "price_nll",
        "price_rmse",
    }


@on_tensorflow_alone
@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ({"kind": LOSSES["kind"], "price": "mse"}, "needs a likelihood.*loss='mse'"),
        ({}, "needs a likelihood"),
        (None, "needs a likelihood"),
    ],
)
def test_what_is_missing_gets_one_clear_error(loss, message):
    model = of_dict()
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match=message):
        bnn.predict(model, X, **QUIET)


@on_tensorflow_alone
def test_targets_of_other_names_get_one_clear_error():
    with pytest.raises(ValueError, match=r"none of the outputs, 'kind', 'price'\. Received: 'cost'"):
        bnn.evaluate(of_dict(), X, {"cost": Y["price"]}, likelihood=LOSSES, **QUIET)
    with pytest.raises(ValueError, match=r"`y` must have a part for each output.*'kind', 'price'"):
        bnn.evaluate(of_dict(), X, Y["price"], likelihood=LOSSES, **QUIET)
    with pytest.raises(ValueError, match="need targets"):
        bnn.evaluate(of_dict(), X, likelihood=LOSSES, **QUIET)


@pytest.mark.skipif(not TENSORFLOW, reason="the dtypes of a loop are TensorFlow's concern")
def test_outputs_may_differ_in_dtype():
    entry = keras.Input((3,))
    kind, price = heads(entry)
    price = keras.layers.Activation("linear", dtype="float64", name="exact")(price)
    model = keras.Model(entry, [kind, price])
    drawn = bnn.predict(model, X, likelihood=list(LOSSES.values()), **QUIET)
    assert [each.outputs.dtype for each in drawn] == ["float32", "float64"]
