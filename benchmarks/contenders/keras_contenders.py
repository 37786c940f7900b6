"""The contenders on Keras: the package itself and the plain network on Keras 3, TFP's layers on Keras 2."""

import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.contenders.contender import MIXTURE, NUM_EXAMPLES, Contender


class KerasParts:
    """The parts in Keras's functional way: functions of tensors. Also for Keras 2."""

    def __init__(self, keras: Any, conv: Callable[..., Any], dense: Callable[..., Any]):
        self.layers, self._conv, self._dense = keras.layers, conv, dense

    def conv(self, inputs: int, filters: int, size: int, stride: int = 1) -> Any:
        """Returns the convolution."""
        return self._conv(filters, size, strides=stride, padding="same")

    def dense(self, inputs: int, units: int) -> Any:
        """Returns the fully connected layer."""
        return self._dense(units)

    def batch_norm(self, channels: int) -> Any:
        """Returns a batch normalization."""
        return self.layers.BatchNormalization()

    def relu(self) -> Any:
        """Returns a ReLU."""
        return self.layers.ReLU()

    def pool(self) -> Any:
        """Returns a 2x2 max-pooling."""
        return self.layers.MaxPooling2D(2)

    def mean_over_space(self) -> Any:
        """Returns a global mean pooling."""
        return self.layers.GlobalAveragePooling2D()

    def flatten(self) -> Any:
        """Returns a flattening."""
        return self.layers.Flatten()

    def sequence(self, *parts: Any) -> Any:
        """Returns the composition."""

        def apply(x: Any) -> Any:
            for part in parts:
                x = part(x)
            return x

        return apply

    def residual(self, body: Any, shortcut: Any | None) -> Any:
        """Returns the sum of both."""
        return lambda x: self.layers.Add()([body(x), x if shortcut is None else shortcut(x)])


class KerasContender(Contender):
    """What the contenders on Keras 3 and on Keras 2 share."""

    model: Any
    callbacks: Sequence[Any] = ()

    def model_of(self, keras: Any, parts: KerasParts) -> Any:
        """Returns the Keras model."""
        self.callback_class = keras.callbacks.Callback
        inputs = keras.Input(self.network.input_shape)
        return keras.Model(inputs, self.network.make(parts)(inputs))

    def train(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> float:
        """Calls `fit`, and counts from its second step: what precedes it belongs to the epoch."""
        times = []

        class Clock(self.callback_class):
            def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
                times.append(time.perf_counter())

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                times.append(time.perf_counter())

        self.model.fit(x, y, batch_size=batch_size, epochs=1, verbose=0, callbacks=[Clock(), *self.callbacks])
        return (times[-1] - times[1]) / (len(times) - 2)


class TfpBnn(KerasContender):
    """The package itself."""

    PACKAGES = ("keras", "tfp-bnn")

    def prepare(self) -> None:
        """Uses the public API only."""
        import keras

        import tfp_bnn as bnn

        priors = bnn.priors
        prior = priors.ScaleMixture(**MIXTURE) if self.mixture else priors.Normal(scale=1.0)
        # The peers' class names have estimators in camel case.
        estimator = re.sub(r"(?<!^)([A-Z])", r"_\1", self.estimator).lower()
        arguments = {"prior": prior, "estimator": estimator}
        parts = KerasParts(
            keras, lambda *a, **k: bnn.layers.Conv2D(*a, **arguments, **k), lambda n: bnn.layers.Dense(n, **arguments)
        )
        self.model, self.bnn = self.model_of(keras, parts), bnn
        jit_compile = "auto" if self.xla is None else self.xla
        self.model.compile("adam", loss=bnn.likelihoods.Categorical(), jit_compile=jit_compile)
        self.callbacks = [bnn.callbacks.KLWeight(NUM_EXAMPLES)]

    def predict(self, x: np.ndarray, num_draws: int) -> None:
        """Calls `predict`."""
        self.bnn.predict(self.model, x, num_draws, verbose=False)

    def summarize(self, x: np.ndarray, num_draws: int) -> None:
        """Calls `summarize`."""
        self.bnn.summarize(self.model, x, num_draws=num_draws, verbose=False)


class DeterministicKeras(KerasContender):
    """The plain network in Keras."""

    PACKAGES = ("keras",)

    def prepare(self) -> None:
        """Uses Keras's own layers and loss."""
        import keras

        self.model = self.model_of(keras, KerasParts(keras, keras.layers.Conv2D, keras.layers.Dense))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile("adam", loss=loss, jit_compile="auto" if self.xla is None else self.xla)
        self._loop: Any = None

    def predict(self, x: np.ndarray, num_draws: int) -> None:
        """Runs all passes in one compiled loop over batches of 1,000; the loop's index keeps it from being hoisted."""
        import keras

        if self._loop is None:
            self._loop = self._tensorflow_loop() if keras.backend.backend() == "tensorflow" else self._jax_loop()
        for start in range(0, len(x), 1000):
            keras.ops.convert_to_numpy(self._loop(x[start : start + 1000], np.zeros(num_draws, "float32")))

    def _tensorflow_loop(self) -> Callable[..., Any]:
        import tensorflow as tf

        @tf.function
        def loop(x: Any, zeros: Any) -> Any:
            return tf.map_fn(lambda zero: self.model(x + zero, training=False), zeros, parallel_iterations=1)

        return lambda x, zeros: loop(tf.constant(x), tf.constant(zeros))

    def _jax_loop(self) -> Callable[..., Any]:
        import jax

        return jax.jit(lambda x, zeros: jax.lax.map(lambda zero: self.model(x + zero, training=False), zeros))


class Tfp(KerasContender):
    """TFP's own layers, which run on Keras 2 only. They have no mixture prior: theirs is N(0, 1)."""

    PACKAGES = ("tensorflow-probability", "tf-keras")

    def prepare(self) -> None:
        """Scales the divergence by the number of examples, as TFP's examples do."""
        import tensorflow as tf
        import tensorflow_probability as tfp
        import tf_keras

        arguments = {"kernel_divergence_fn": lambda q, p, _: tfp.distributions.kl_divergence(q, p) / NUM_EXAMPLES}
        conv, dense = (getattr(tfp.layers, f"{f}{self.estimator}") for f in ("Convolution2D", "Dense"))
        parts = KerasParts(tf_keras, lambda *a, **k: conv(*a, **arguments, **k), lambda n: dense(n, **arguments))
        self.model = self.model_of(tf_keras, parts)
        loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(tf_keras.optimizers.Adam(), loss=loss, jit_compile=bool(self.xla))
        self._forward = tf.function(lambda x: self.model(x, training=False), jit_compile=bool(self.xla))

    def predict(self, x: np.ndarray, num_draws: int) -> None:
        """Calls the compiled model once a draw, on batches of 1,000."""
        for start in range(0, len(x), 1000):
            for _ in range(num_draws):
                self._forward(x[start : start + 1000]).numpy()
