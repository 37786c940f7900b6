"""The contract, on a layer that a user wrote: it holds, and a layer that breaks it is found."""

import keras
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn.testing import check_layer, layer_checks

pytestmark = on_tensorflow_alone


@keras.saving.register_keras_serializable("test")
class MyDense(bnn.layers.VariationalLayer):
    """A product with a random kernel, one draw for a batch."""

    def __init__(self, units, activation=None, use_bias=False, prior=None, **kwargs):
        arguments = {"units": units, "activation": activation, "use_bias": use_bias}
        super().__init__(keras.layers.Dense, arguments, **kwargs)
        self.prior = bnn.priors.Normal() if prior is None else prior

    def build(self, input_shape):
        posterior = bnn.posteriors.MeanFieldNormal()
        self.add_random_weights("kernel", (input_shape[-1], self.units), posterior, self.prior)

    def outputs_at(self, inputs, weights):
        return self.activation(inputs @ keras.ops.cast(weights["kernel"], inputs.dtype))

    def noisy_outputs(self, inputs, weights, noise):
        sample = weights["kernel"].sample(noise)
        return self.outputs_at(inputs, {"kernel": sample.value}), {"kernel": sample}

    def divergence(self, posterior, prior, sample, noise):
        if bnn.kl.has_closed_form(posterior, prior):
            return bnn.kl.closed_form(posterior, prior)
        return bnn.kl.monte_carlo(posterior.sample(noise) if sample is None else sample, prior)

    def keras_weights(self, weights):
        return [weights["kernel"]]

    def get_config(self):
        return {**super().get_config(), "prior": self.prior}


class CountsTwice(MyDense):
    """A KL term that is twice what it should be."""

    def divergence(self, posterior, prior, sample, noise):
        return 2 * super().divergence(posterior, prior, sample, noise)


class ForgetsNoise(MyDense):
    """Outputs at the means."""

    def noisy_outputs(self, inputs, weights, noise):
        return self.outputs_at(inputs, {"kernel": weights["kernel"].mean}), {}


@pytest.fixture(autouse=True)
def _fewer_draws(monkeypatch):
    monkeypatch.setattr(layer_checks, "NUM_DRAWS", 1_000)


def test_a_layer_of_ones_own_keeps_the_contract():
    check_layer(MyDense, (2,), input_shape=(3, 2), linear=True)


@pytest.mark.parametrize("layer", [CountsTwice, ForgetsNoise])
def test_a_layer_that_breaks_the_contract_is_found(layer):
    with pytest.raises(AssertionError):
        check_layer(layer, (2,), input_shape=(3, 2))


def test_too_few_examples_get_one_clear_error():
    with pytest.raises(ValueError, match=r"at least 3 examples. Received: input_shape=\(2, 2\)"):
        check_layer(MyDense, (2,), input_shape=(2, 2))
