"""The libraries that are compared: each makes a network, trains it and draws predictions from it, as its users would.

Every contender trains with Adam on the same random images; Bayesian ones with the prior that they are asked for, where
they have it. PyTorch runs eagerly, as its users run it.
"""

import abc
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from networks import Network

NUM_EXAMPLES = 60_000
MIXTURE = {"pi": 0.5, "sigma_1": 1.0, "sigma_2": 0.0025}


class Contender(abc.ABC):
    """One library, in one mode, with one network.

    Args:
        network: the network.
        estimator: "Flipout" or "Reparameterization".
        mixture: whether the prior is the scale mixture; otherwise it is N(0, 1).
        xla: whether to compile with XLA; None leaves it to the library.
    """

    PACKAGES: ClassVar[Sequence[str]]

    def __init__(self, network: Network, estimator: str, mixture: bool, xla: bool | None = None):
        self.network, self.estimator, self.mixture, self.xla = network, estimator, mixture, xla
        self.prepare()

    @abc.abstractmethod
    def prepare(self) -> None:
        """Makes the model."""

    @abc.abstractmethod
    def train(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> float:
        """Trains for one epoch; returns seconds a step, the epoch's set-up not counted."""

    @abc.abstractmethod
    def predict(self, x: np.ndarray, num_draws: int) -> None:
        """Computes the outputs of so many drawn networks (of a deterministic one: as often) and waits for them."""


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
        conv, dense = (getattr(bnn.layers, family + self.estimator) for family in ("Conv2D", "Dense"))
        parts = KerasParts(keras, lambda *a, **k: conv(*a, prior=prior, **k), lambda n: dense(n, prior=prior))
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


class TorchParts:
    """The parts as PyTorch modules."""

    def __init__(self, torch: Any, conv: Callable[..., Any], dense: Callable[..., Any]):
        self.torch, self._conv, self.dense = torch, conv, dense

        class Residual(torch.nn.Module):
            def __init__(self, body: Any, shortcut: Any | None):
                super().__init__()
                self.body, self.shortcut = body, shortcut or torch.nn.Identity()

            def forward(self, x: Any) -> Any:
                return self.body(x) + self.shortcut(x)

        class MeanOverSpace(torch.nn.Module):
            def forward(self, x: Any) -> Any:
                return x.mean(dim=(2, 3))

        self.residual, self.mean_over_space = Residual, MeanOverSpace

    def conv(self, inputs: int, filters: int, size: int, stride: int = 1) -> Any:
        """Returns the convolution."""
        return self._conv(inputs, filters, size, stride=stride, padding=size // 2)

    def batch_norm(self, channels: int) -> Any:
        """Returns a batch normalization."""
        return self.torch.nn.BatchNorm2d(channels)

    def relu(self) -> Any:
        """Returns a ReLU."""
        return self.torch.nn.ReLU()

    def pool(self) -> Any:
        """Returns a 2x2 max-pooling."""
        return self.torch.nn.MaxPool2d(2)

    def flatten(self) -> Any:
        """Returns a flattening."""
        return self.torch.nn.Flatten()

    def sequence(self, *parts: Any) -> Any:
        """Returns the composition."""
        return self.torch.nn.Sequential(*parts)


class TorchContender(Contender):
    """What the contenders in PyTorch share; a subclass makes convolutions and fully connected layers."""

    def layers(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Returns the makers of convolutions and of fully connected layers."""
        raise NotImplementedError

    def kl(self) -> Any:
        """Returns the KL divergence of the model, or 0."""
        raise NotImplementedError

    def wrap(self, model: Any) -> Any:
        """Returns the model as the library wants it."""
        return model

    def prepare(self) -> None:
        """Makes model and optimizer."""
        import torch

        self.torch = torch
        self.model = self.wrap(self.network.make(TorchParts(torch, *self.layers())))
        self.optimizer = torch.optim.Adam(self.model.parameters())

    def train(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> float:
        """Runs the usual loop."""
        start = time.perf_counter()
        x, y = self._images(x), self.torch.from_numpy(y.astype("int64"))
        for first in range(0, len(x), batch_size):
            batch = slice(first, first + batch_size)
            loss = self.torch.nn.functional.cross_entropy(self.model(x[batch]), y[batch]) + self.kl() / NUM_EXAMPLES
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return (time.perf_counter() - start) / math.ceil(len(x) / batch_size)

    def predict(self, x: np.ndarray, num_draws: int) -> None:
        """Calls the model once a draw, on batches of 1,000."""
        x = self._images(x)
        with self.torch.no_grad():
            for start in range(0, len(x), 1000):
                for _ in range(num_draws):
                    self.model(x[start : start + 1000])

    def _images(self, x: np.ndarray) -> Any:
        return self.torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


class DeterministicTorch(TorchContender):
    """The plain network in PyTorch."""

    PACKAGES = ("torch",)

    def layers(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Returns PyTorch's own."""
        import torch

        return torch.nn.Conv2d, torch.nn.Linear

    def kl(self) -> float:
        """Returns 0."""
        return 0.0


class BayesianTorch(TorchContender):
    """bayesian-torch; its prior is Gaussian. The layers return their KL divergence too; it is collected afterwards."""

    PACKAGES = ("bayesian-torch", "torch")

    def layers(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Returns its layers, which are to return their outputs alone."""
        from bayesian_torch import layers

        def outputs_only(layer_class: type) -> type:
            return type("OutputsOnly", (layer_class,), {"forward": lambda s, x: layer_class.forward(s, x, False)})

        return tuple(outputs_only(getattr(layers, family + self.estimator)) for family in ("Conv2d", "Linear"))

    def kl(self) -> Any:
        """Calls `get_kl_loss`."""
        from bayesian_torch.models.dnn_to_bnn import get_kl_loss

        return get_kl_loss(self.model)


class Blitz(TorchContender):
    """BLiTZ, which has reparameterization only."""

    PACKAGES = ("blitz-bayesian-pytorch", "torch")

    def layers(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Returns its layers with the mixture prior, or with the Gaussian one."""
        from blitz import modules

        mixture = MIXTURE if self.mixture else {"pi": 1.0, "sigma_1": 1.0, "sigma_2": 1.0}
        prior = {f"prior_{name}": value for name, value in mixture.items()}

        def conv(inputs: int, filters: int, size: int, **arguments: Any) -> Any:
            return modules.BayesianConv2d(inputs, filters, (size, size), **arguments, **prior)

        return conv, lambda inputs, units: modules.BayesianLinear(inputs, units, **prior)

    def wrap(self, model: Any) -> Any:
        """Returns a variational estimator."""
        from blitz.utils import variational_estimator

        return variational_estimator(type("Model", (self.torch.nn.Sequential,), {}))(model)

    def kl(self) -> Any:
        """Calls `nn_kl_divergence`."""
        return self.model.nn_kl_divergence()
