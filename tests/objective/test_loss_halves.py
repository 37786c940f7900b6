"""The objective that `fit` minimises: over an epoch, the data's negative log-likelihood and the KL divergence, once."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW, on_tensorflow_alone
from tfp_bnn.testing.oracles import divergence_from_standard_normals as kl_of

N, CLASSES = 32, 3
STDDEV = 1e-6  # so little noise that the expected objective is what is seen


def data(num_examples=N):
    rng = np.random.default_rng(0)
    return rng.normal(size=(num_examples, 4)).astype("float32"), rng.integers(0, CLASSES, num_examples)


def make_layers():
    posterior = bnn.posteriors.MeanFieldNormal(STDDEV, keras.initializers.GlorotUniform(seed=1))
    return [
        bnn.layers.DenseFlipout(5, "tanh", posterior=posterior, bias_posterior=posterior),
        bnn.layers.DenseLocalReparameterization(CLASSES, posterior=posterior),
    ]


def make_model(optimizer=None, **compile_arguments):
    model = keras.Sequential([keras.Input((4,)), *make_layers()])
    # A learning rate of 0 keeps the weights at which the objective is compared.
    model.compile(optimizer or keras.optimizers.SGD(0.0), loss=bnn.likelihoods.Categorical(), **compile_arguments)
    return model


def fit(model, x, y, batch_size, schedule=None, **arguments):
    """Trains for one epoch; returns the history of the epoch."""
    weight = bnn.callbacks.KLWeight(num_examples=len(x), schedule=schedule)
    history = model.fit(x, y, batch_size=batch_size, verbose=0, shuffle=False, callbacks=[weight], **arguments)
    return {name: values[0] for name, values in history.history.items()}


def nll_of(model, x, y):
    """Returns the nats of each example, from the probabilities at the means of the weights."""
    logits = np.tanh(x @ mean_of(model, 0, "kernel")) @ mean_of(model, 1, "kernel")
    return np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]


def mean_of(model, index, name):
    return keras.ops.convert_to_numpy(model.layers[index].random_weights[name][0].mean).astype("float64")


@pytest.mark.parametrize("steps_per_execution", [1, 3])
@pytest.mark.parametrize(
    ("num_examples", "batch_size", "schedule"),
    [
        (N, 8, None),
        (N + 5, 8, None),  # the last batch is partial
        (N, 8, bnn.kl_schedules.blundell),
    ],
    ids=["uniform", "partial batch", "Blundell"],
)
def test_the_minibatches_of_an_epoch_add_up_to_the_whole_objective(
    num_examples, batch_size, schedule, steps_per_execution
):
    (x, y), model = data(num_examples), make_model(steps_per_execution=steps_per_execution)
    logged = fit(model, x, y, batch_size, schedule)
    # Keras's mean over batches counts each by its examples, so that times N it is the sum.
    np.testing.assert_allclose(num_examples * logged["nll"], nll_of(model, x, y).sum(), rtol=1e-4)
    np.testing.assert_allclose(logged["kl"], kl_of(model), rtol=1e-5)
    np.testing.assert_allclose(num_examples * logged["loss"], nll_of(model, x, y).sum() + kl_of(model), rtol=1e-4)


def test_sample_weights_weigh_the_data_and_not_the_kl_term():
    (x, y), model = data(), make_model()
    weights = np.random.default_rng(1).uniform(0, 3, N).astype("float32")
    logged = fit(model, x, y, 8, sample_weight=weights)
    nll = (weights * nll_of(model, x, y)).mean()
    np.testing.assert_allclose(logged["nll"], nll, rtol=1e-4)
    np.testing.assert_allclose(logged["loss"], nll + kl_of(model) / N, rtol=1e-4)


def test_accumulated_gradients_are_those_of_the_whole_batch():
    (x, y), trained = data(), []
    for batch_size, steps in ((N, None), (N // 4, 4)):
        model = make_model(keras.optimizers.SGD(0.1, gradient_accumulation_steps=steps))
        before = model.get_weights()
        fit(model, x, y, batch_size)
        trained.append(model.get_weights())
    for whole, accumulated in zip(*trained, strict=True):
        np.testing.assert_allclose(accumulated, whole, rtol=1e-4, atol=1e-5)
    assert max(np.abs(a - b).max() for a, b in zip(before[:2], trained[0][:2], strict=True)) > 1e-3


class TrainedByHand(keras.Sequential):
    """A model with a training step of its own, as Keras's guides write it."""

    if TENSORFLOW:

        def train_step(self, data):
            import tensorflow as tf

            x, y = data
            with tf.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.compute_loss(x=x, y=y, y_pred=y_pred)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            return {"loss": loss}

    else:

        def train_step(self, state, data):
            import jax

            trainable, non_trainable, optimizer, metrics = state
            x, y = data
            step = jax.value_and_grad(self.compute_loss_and_updates, has_aux=True)
            (loss, (_, _, non_trainable, metrics)), gradients = step(
                trainable, non_trainable, metrics, x, y, None, training=True, optimizer_variables=optimizer
            )
            trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
            return {"loss": loss}, (trainable, non_trainable, optimizer, metrics)


def test_a_training_step_of_ones_own_has_the_kl_term():
    (x, y) = data()
    model = TrainedByHand([keras.Input((4,)), *make_layers()])
    model.compile(keras.optimizers.SGD(0.0), loss=bnn.likelihoods.Categorical())
    logged = fit(model, x, y, N)
    np.testing.assert_allclose(N * logged["loss"], nll_of(model, x, y).sum() + kl_of(model), rtol=1e-4)


TWO_REPLICAS = """
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.objective import test_loss_halves as halves
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model = halves.make_model(jit_compile=False)  # quicker than to compile
x, y = halves.data()
logged = halves.fit(model, x, y, batch_size=8)
nll, kl = halves.nll_of(model, x, y).mean(), halves.kl_of(model)
print(logged["loss"], logged["nll"], logged["kl"], nll, kl)

# Outputs with positions, of which the KL term is divided by the number.
from tests.objective import test_observations as observations
with strategy.scope():
    model = observations.one_layer((observations.STEPS, observations.FEATURES))
    x = observations.series()
    likelihood = halves.bnn.likelihoods.Normal(1.0)
    logged = observations.fitted(model, likelihood, x, x[..., :1], batch_size=4, run_eagerly=False)
print(logged["loss"] - logged["nll"], logged["kl"] / x[..., 0].size)

# Noise of the two for the same inputs.
from tests.objective import noise_of_replicas
print(*noise_of_replicas.compared(strategy))
"""


@on_tensorflow_alone
def test_two_replicas_have_the_objective_of_one_log_its_halves_and_have_noise_of_their_own():
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
    command = [sys.executable, "-c", TWO_REPLICAS]
    run = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    loss, logged_nll, logged_kl, nll, kl, kl_term, expected_kl_term, *of_noise = map(float, run.stdout.split())
    assert len(of_noise) == 6
    # The first replica has the noise of one device.
    assert max(of_noise[::2]) < 1e-6
    # Correlations of the two, within six standard errors of 2,048 products.
    assert max(map(abs, of_noise[1::2])) < 6 / 2048**0.5
    assert kl_term == pytest.approx(expected_kl_term, rel=1e-4)
    assert logged_nll == pytest.approx(nll, rel=1e-4)
    assert logged_kl == pytest.approx(kl, rel=1e-4)
    assert loss == pytest.approx(nll + kl / N, rel=1e-4)
