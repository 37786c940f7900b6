"""Several threads that predict with one model, also while it is trained."""

import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW
from tfp_bnn import layers, likelihoods

NORMAL = likelihoods.Normal(scale=1.0)
X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
QUIET = {"num_draws": 4, "seed": 1, "verbose": False}


def make_model():
    model = keras.Sequential([keras.Input((3,)), layers.DenseFlipout(4, "relu"), layers.DenseFlipout(1)])
    model.compile("sgd", NORMAL)
    return model


def test_threads_that_begin_at_once_get_what_one_gets():
    model = make_model()
    sizes = [1, 2, 3, 5, 8, 13, 21, 40] * 3
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda size: bnn.predict(model, X[:size], **QUIET).outputs, sizes))
    expected = bnn.predict(model, X, **QUIET).outputs
    for size, outputs in zip(sizes, found, strict=True):
        np.testing.assert_allclose(outputs, expected[:, :size], rtol=1e-5, atol=1e-6)


def test_a_model_predicts_while_another_thread_trains_it():
    model = make_model()
    first_step, end = threading.Event(), threading.Event()
    y = 3.0 + X.sum(axis=1)
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: first_step.set(),
        on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", end.is_set()),
    )
    # `fit` has the model to itself until it has compiled.
    before = bnn.predict(model, X, **QUIET).mean()
    arguments = {"batch_size": 2, "epochs": 10_000, "verbose": 0, "callbacks": [bnn.callbacks.KLWeight(), callback]}
    training = threading.Thread(target=model.fit, args=(X, y), kwargs=arguments)
    training.start()
    try:
        assert first_step.wait(60)
        means = [bnn.predict(model, X, **QUIET).mean() for _ in range(30)]
    finally:
        end.set()
        training.join()
    assert all(np.isfinite(mean).all() for mean in means)
    # What it predicts is what it has learned so far.
    errors = [
        np.abs(np.asarray(mean)[:, 0] - y).mean() for mean in (before, means[-1], bnn.predict(model, X, **QUIET).mean())
    ]
    assert errors[1] < errors[0]
    assert errors[2] < errors[0]


@pytest.mark.skipif(TENSORFLOW, reason="only Keras's JAX trainer takes the values out of a model")
def test_a_callback_in_training_predicts_with_the_last_steps_values():
    model = make_model()
    found = []

    def look(batch, logs):
        inside = bnn.predict(model, X, **QUIET).outputs
        model.jax_state_sync()
        found.append((inside, bnn.predict(model, X, **QUIET).outputs))

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=look)
    model.fit(X, X[:, 0], batch_size=20, verbose=0, callbacks=[bnn.callbacks.KLWeight(), callback])
    for inside, after in found:
        np.testing.assert_array_equal(inside, after)
    assert np.abs(found[0][0] - found[1][0]).max() > 0


@pytest.mark.skipif(TENSORFLOW, reason="only Keras's JAX trainer takes the values out of a model")
def test_a_part_of_a_model_in_training_has_no_values():
    part = keras.Sequential([keras.Input((3,)), layers.DenseFlipout(1)])
    whole = keras.Sequential([part])
    whole.compile("sgd", NORMAL)
    found = []

    def look(batch, logs):
        with pytest.raises(RuntimeError, match=r"in training.*larger model.*Received: model"):
            bnn.predict(part, X, likelihood=NORMAL, **QUIET)
        whole.jax_state_sync()
        found.append(bnn.predict(part, X, likelihood=NORMAL, **QUIET))

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=look)
    whole.fit(X, X[:, 0], batch_size=40, verbose=0, callbacks=[bnn.callbacks.KLWeight(), callback])
    assert len(found) == 1
