"""Posteriors and priors from functions: what would never be trained is refused, what can be trained is."""

import keras
import numpy as np
import pytest

from tests.support.on_backends import numpy, on_tensorflow_alone
from tfp_bnn import layers, posteriors
from tfp_bnn.layers import variable_reads

pytestmark = pytest.mark.jax_if_thorough

X, Y = np.ones((8, 3), "float32"), np.ones((8, 2), "float32")


class Normals:
    """As TFP's independent normals: its JAX substrate does not import beside every jax."""

    def __init__(self, loc, scale):
        self.parameters = {"loc": loc, "scale": scale}
        # The values of today: on TensorFlow, a Keras variable stays one in `convert_to_tensor`.
        self.loc, self.scale = (value + 0.0 for value in (loc, scale))

    def mean(self):
        return self.loc

    def log_prob(self, value):
        z = (value - self.loc) / self.scale
        return keras.ops.sum(-0.5 * keras.ops.square(z) - keras.ops.log(self.scale) - 0.5 * np.log(2 * np.pi))

    def experimental_sample_and_log_prob(self, seed):
        value = self.loc + self.scale * 0.7
        return value, self.log_prob(value)


class TrainedNormals(keras.layers.Layer):
    def __init__(self, size):
        super().__init__()
        self.loc = self.add_weight(name="loc", shape=(size,), initializer="zeros")
        self.rho = self.add_weight(name="rho", shape=(size,), initializer="zeros")

    def call(self, inputs):
        return Normals(keras.ops.convert_to_tensor(self.loc), keras.ops.softplus(self.rho))


def trained(kernel_size, bias_size, dtype):
    return TrainedNormals(kernel_size + bias_size)


def fixed(kernel_size, bias_size, dtype):
    size = kernel_size + bias_size
    return Normals(keras.ops.zeros(size), keras.ops.ones(size))


def fixed_callable(kernel_size, bias_size, dtype):
    return lambda _: fixed(kernel_size, bias_size, dtype)


def closure(kernel_size, bias_size, dtype):
    loc = keras.Variable("zeros", (kernel_size + bias_size,), name="loc")
    return lambda _: Normals(keras.ops.convert_to_tensor(loc), keras.ops.ones(kernel_size + bias_size))


def made_once(kernel_size, bias_size, dtype):
    loc = keras.Variable("zeros", (kernel_size + bias_size,), name="loc")
    return Normals(loc, keras.ops.ones(kernel_size + bias_size))


def made_once_and_wrapped(kernel_size, bias_size, dtype):
    class Independent(Normals):
        def __init__(self, distribution):
            super().__init__(distribution.loc, distribution.scale)
            self.parameters = {"distribution": distribution, "experimental_use_kahan_sum": False}

    distribution = Independent(made_once(kernel_size, bias_size, dtype))
    return lambda _: distribution


def of_tf_variables(kernel_size, bias_size, dtype):
    import tensorflow as tf

    loc = tf.Variable(tf.zeros(kernel_size + bias_size), name="loc")
    return lambda _: Normals(tf.convert_to_tensor(loc), tf.ones(kernel_size + bias_size))


def of_both(kernel_size, bias_size, dtype):
    mine, theirs = trained(kernel_size, bias_size, dtype), of_tf_variables(kernel_size, bias_size, dtype)
    return lambda _: Normals(mine(None).loc + theirs(None).loc, mine(None).scale)


def build(posterior, prior, **kwargs):
    layer = layers.DenseVariational(2, posterior, prior, kl_weight=0.1, **kwargs)
    layer.build((None, 3))
    return layer


@pytest.mark.parametrize("posterior", [fixed, fixed_callable])
def test_a_posterior_that_nothing_can_train_is_refused(posterior):
    with pytest.raises(ValueError, match="reads no trainable Keras variable") as error:
        build(posterior, fixed)
    assert "self.add_weight" in str(error.value)


@pytest.mark.parametrize("source", [made_once, made_once_and_wrapped])
def test_a_distribution_that_was_made_once_of_keras_variables_is_refused(source):
    with pytest.raises(ValueError, match="A posterior that is made once keeps the values"):
        build(source, fixed)
    with pytest.raises(ValueError, match="A prior that is made once keeps the values"):
        build(trained, source)
    with pytest.raises(ValueError, match="A prior that is made once keeps the values"):
        build(posteriors.MeanFieldNormal(), source)


@on_tensorflow_alone
@pytest.mark.parametrize("source", [of_tf_variables, of_both])
def test_variables_that_are_not_keras_s_are_refused(source):
    with pytest.raises(ValueError, match=r"A posterior made of variables that are not Keras's .*tf.Variable"):
        build(source, fixed)
    with pytest.raises(ValueError, match="A prior made of variables that are not Keras's"):
        build(trained, source)


@on_tensorflow_alone
def test_tfp_s_own_trained_distributions_are_refused():
    import tensorflow as tf
    import tensorflow_probability as tfp

    tfd = tfp.distributions

    def with_variables(kernel_size, bias_size, dtype):
        size = kernel_size + bias_size
        scale = tfp.util.TransformedVariable(tf.ones(size), tfp.bijectors.Softplus())
        return tfd.Independent(tfd.Normal(tf.Variable(tf.zeros(size)), scale), 1)

    def with_a_layer_of_tfp(kernel_size, bias_size, dtype):
        variables = tfp.layers.VariableLayer(kernel_size + bias_size, dtype=dtype)
        return lambda _: tfd.Independent(tfd.Normal(variables(None), 1.0), 1)

    for source in (with_variables, with_a_layer_of_tfp):
        with pytest.raises(ValueError, match="variables that are not Keras's"):
            build(source, fixed)
        with pytest.raises(ValueError, match="variables that are not Keras's"):
            build(trained, source)


@pytest.mark.parametrize("prior", [fixed, fixed_callable, closure, trained])
def test_every_variable_that_is_read_is_trained(prior):
    layer = build(closure, prior)
    assert len(layer.trainable_variables) == 1 + {closure: 1, trained: 2}.get(prior, 0)
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = [numpy(variable) for variable in model.trainable_variables]
    model.fit(X, Y, verbose=0)
    for old, variable in zip(before, model.trainable_variables, strict=True):
        assert (old != numpy(variable)).any()


def test_a_variable_that_two_layers_read_is_trained_once():
    size = 3 * 2 + 2
    loc = keras.Variable(np.zeros(size, "float32"), name="loc")

    def shared(kernel_size, bias_size, dtype):
        return lambda _: Normals(keras.ops.convert_to_tensor(loc), keras.ops.ones(size))

    first, second = build(trained, shared), build(trained, shared)
    model = keras.Model(inputs := keras.Input((3,)), first(inputs) + second(inputs))
    assert len(model.trainable_variables) == 2 + 2 + 1


def test_mixed_precision_does_not_hide_whose_a_variable_is():
    class Outer(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inner = layers.DenseVariational(2, trained, closure)

        def call(self, inputs):
            return self.inner(inputs)

    outer = Outer(dtype="mixed_bfloat16")
    assert tuple(outer(X).shape) == (8, 2)
    assert len(outer.trainable_variables) == 3


def test_what_is_read_changes_nothing():
    variable = keras.Variable(1.0)

    def increase():
        variable.assign(variable + 1)
        return variable + 0.0

    reads = variable_reads.reads_of(increase)
    assert float(variable) == 1.0
    assert float(reads.result) == 2.0
    assert [id(read) for read in reads.keras_variables] == [id(variable)]
    assert reads.foreign_variables == []
