"""Training loops and training steps that users write themselves: the KL term is in them, or an error says so."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW, UNCOMPILED
from tfp_bnn.testing.oracles import divergence_from_standard_normals as kl_of

N = 20


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, 4)).astype("float32"), rng.integers(0, 3, N)


def make_layers(**arguments):
    posterior = bnn.posteriors.MeanFieldNormal(0.3)
    return [
        bnn.layers.DenseFlipout(5, "relu", posterior=posterior, bias_posterior=posterior, **arguments),
        bnn.layers.DenseLocalReparameterization(3, posterior=posterior, **arguments),
    ]


def make_model(**arguments):
    return keras.Sequential([keras.Input((4,)), *make_layers(**arguments)])


def value_and_gradients(model, function):
    """Returns a scalar function of the model's variables, and its gradients in the trainable ones."""
    if TENSORFLOW:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = function()
        return float(value), [gradient.numpy() for gradient in tape.gradient(value, model.trainable_variables)]
    import jax

    def stateless(values):
        with keras.StatelessScope(state_mapping=list(zip(model.trainable_variables, values, strict=True))):
            return function()

    value, gradients = jax.value_and_grad(stateless)([variable.value for variable in model.trainable_variables])
    return float(value), [np.asarray(gradient) for gradient in gradients]


def test_the_divergence_of_a_model_is_the_sum_in_nats_and_can_be_differentiated():
    prior = bnn.priors.Normal(scale=0.5)
    layer = bnn.layers.DenseFlipout(3, prior=prior, posterior=bnn.posteriors.MeanFieldNormal(0.3), use_bias=False)
    inner = keras.Sequential([keras.Input((4,)), layer])
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Add()([inner(inputs), inner(inputs)]))  # nested, and called twice
    value, (of_mean, of_rho) = value_and_gradients(model, lambda: bnn.kl_divergence(model))
    weights = layer.random_weights["kernel"][0].read()
    mean, stddev = (keras.ops.convert_to_numpy(part).astype("float64") for part in (weights.mean, weights.stddev))
    nats = np.log(0.5 / stddev) + (stddev**2 + mean**2) / (2 * 0.25) - 0.5
    assert value == pytest.approx(nats.sum(), rel=1e-5)
    np.testing.assert_allclose(of_mean, mean / 0.25, rtol=1e-4)
    slope = 1 - np.exp(-stddev)  # of softplus, at the rho of this standard deviation
    np.testing.assert_allclose(of_rho, (stddev / 0.25 - 1 / stddev) * slope, rtol=1e-4)


@pytest.mark.jax_if_thorough
def test_the_divergence_is_estimated_where_it_has_no_closed_form():
    prior = bnn.priors.ScaleMixture(1.0, 0.5, 0.5)
    layer = bnn.layers.DenseVariational(3, prior=prior, posterior=bnn.posteriors.MeanFieldNormal(0.3))
    model = keras.Sequential([keras.Input((4,)), layer])
    estimates = [float(bnn.kl_divergence(model)) for _ in range(300)]
    weights = layer.random_weights["weights"][0].read()
    draws = np.random.default_rng(0).normal(size=(4000, *weights.mean.shape))
    mean, stddev = (keras.ops.convert_to_numpy(part).astype("float64") for part in (weights.mean, weights.stddev))
    w = mean + stddev * draws
    log_q = -0.5 * draws**2 - np.log(stddev)
    log_p = np.logaddexp(*(np.log(0.5) - 0.5 * (w / s) ** 2 - np.log(s) for s in (1.0, 0.5)))
    expected = (log_q - log_p).sum(axis=(1, 2)).mean()
    assert np.mean(estimates) == pytest.approx(expected, abs=5 * np.std(estimates) / np.sqrt(300))


def test_the_divergence_of_a_model_that_is_not_built_is_an_error():
    with pytest.raises(ValueError, match=r"call the model once. Received: .*, not built"):
        bnn.kl_divergence(keras.Sequential(make_layers()))


@pytest.mark.parametrize("training", [True, None])
def test_a_loop_of_ones_own_adds_the_divergence(training):
    model, (x, y) = make_model(), data()
    likelihood = bnn.likelihoods.Categorical()
    arguments = {} if training is None else {"training": training}

    def loss():
        return likelihood(y, model(x, **arguments)) + bnn.kl_divergence(model) / N

    losses = []
    for _ in range(2):
        value, gradients = value_and_gradients(model, loss)
        losses.append(value)
        assert all(np.abs(gradient).max() > 0 for gradient in gradients)
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
            variable.assign_sub(0.1 * gradient)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("training", [True, False, None])
def test_losses_without_a_kl_weight_do_not_add_up_to_nothing(training):
    model, (x, y) = make_model(), data()
    model(x) if training is None else model(x, training=training)
    assert "kl_weight is not set" in repr(model.losses)
    with pytest.raises(ValueError, match=r"tfp_bnn.kl_divergence\(model\) / num_examples"):
        sum(model.losses)
    with pytest.raises(ValueError, match=r"tfp_bnn.kl_divergence\(model\) / num_examples"):
        keras.ops.sum(keras.ops.stack(model.losses))
    model.compile(loss=bnn.likelihoods.Categorical(), **UNCOMPILED)
    assert np.isfinite(model.evaluate(x, y, verbose=0))


def test_losses_with_a_kl_weight_are_the_weighted_terms():
    model, (x, _) = make_model(kl_weight=0.5), data()
    model(x)
    assert float(sum(model.losses)) == pytest.approx(0.5 * kl_of(model), rel=1e-5)


class WithoutComputeLoss(keras.Sequential):
    """A model whose training step has a loss of its own, and asks neither `compute_loss` nor the losses of layers."""

    factor = 1.0

    if TENSORFLOW:

        def train_step(self, data):
            import tensorflow as tf

            x, y = data
            with tf.GradientTape() as tape:
                loss = self.factor * self.loss(y, self(x, training=True)) + bnn.kl_divergence(self) / N
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            return {"loss": loss}

    else:

        def train_step(self, state, data):
            import jax

            trainable, non_trainable, optimizer, metrics = state
            x, y = data

            def loss_at(trainable, non_trainable):
                outputs, non_trainable, _ = self.stateless_call(
                    trainable, non_trainable, x, training=True, return_losses=True
                )
                with keras.StatelessScope(state_mapping=list(zip(self.trainable_variables, trainable, strict=True))):
                    kl = bnn.kl_divergence(self)
                return self.factor * self.loss(y, outputs) + kl / N, non_trainable

            (loss, non_trainable), gradients = jax.value_and_grad(loss_at, has_aux=True)(trainable, non_trainable)
            trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
            return {"loss": loss}, (trainable, non_trainable, optimizer, metrics)


def fit_without_compute_loss(factor=1.0):
    model, (x, y) = WithoutComputeLoss([keras.Input((4,)), *make_layers()]), data()
    model.factor = factor
    model.compile(keras.optimizers.SGD(0.01), loss=bnn.likelihoods.Categorical(), **UNCOMPILED)
    return model.fit(x, y, batch_size=N, epochs=2, verbose=0, callbacks=[bnn.callbacks.KLWeight(N)]).history


def test_what_was_not_counted_is_not_logged():
    history = fit_without_compute_loss()
    assert set(history) == {"loss"}
    assert np.isfinite(history["loss"]).all()


def test_a_loss_that_is_no_number_ends_the_training():
    with pytest.raises(ValueError, match=r"not a finite number.*Received: loss=nan"):
        fit_without_compute_loss(factor=np.nan)


if TENSORFLOW:

    class AsKerasGuides(keras.Sequential):
        """A training step as Keras's guide writes it: all metrics but the loss's get targets and outputs."""

        def train_step(self, data):
            import tensorflow as tf

            x, y = data
            with tf.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.compute_loss(y=y, y_pred=y_pred)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, y_pred)
            return {metric.name: metric.result() for metric in self.metrics}

    def test_the_halves_are_not_spoiled_by_a_step_that_hands_targets_to_all_metrics():
        model, (x, y) = AsKerasGuides([keras.Input((4,)), *make_layers()]), data()
        model.compile(keras.optimizers.SGD(0.0), loss=bnn.likelihoods.Categorical(), metrics=["accuracy"])
        history = model.fit(x, y, batch_size=N, verbose=0, callbacks=[bnn.callbacks.KLWeight()]).history
        assert history["kl"][0] == pytest.approx(kl_of(model), rel=1e-5)
        assert history["loss"][0] == pytest.approx(history["nll"][0] + history["kl"][0] / N, rel=1e-5)
