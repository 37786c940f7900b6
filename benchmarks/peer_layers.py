"""The layers of tfp_bnn and its peers in one form, so that the same checks can be run on each."""

import abc
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

NUM_INPUTS = {"dense": 5, "conv": 2}
NUM_OUTPUTS = 3
INPUT_SHAPES = {"dense": (4, 5), "conv": (2, 4, 4, 2)}
KERNEL_SHAPES = {"dense": (5, 3), "conv": (2, 2, 2, 3)}


class Weights(NamedTuple):
    """Posterior of a layer: means and standard deviations, kernels as [..., inputs, outputs]; stddev 0: not random."""

    kernel_mean: np.ndarray
    kernel_stddev: np.ndarray
    bias_mean: np.ndarray
    bias_stddev: np.ndarray

    def random(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Returns mean and standard deviation of each tensor of weights that is random."""
        tensors = [self[:2], self[2:]]
        return [(mean.astype("float64"), stddev.astype("float64")) for mean, stddev in tensors if stddev.any()]


class Prior(NamedTuple):
    """The prior `pi N(loc, sigma_1^2) + (1 - pi) N(loc, sigma_2^2)`; Gaussian for pi = 1.

    `floor` is added to its density.
    """

    sigma_1: float = 1.0
    loc: float = 0.0
    pi: float = 1.0
    sigma_2: float = 1.0
    floor: float = 0.0

    def kl(self, mean: np.ndarray, stddev: np.ndarray) -> np.ndarray:
        """Returns KL[N(mean, stddev^2) || prior] for each weight, in closed form or else on a fine grid."""
        if self.pi == 1 and not self.floor:
            squares = (stddev**2 + (mean - self.loc) ** 2) / (2 * self.sigma_1**2)
            return np.log(self.sigma_1 / stddev) + squares - 0.5
        z = np.linspace(-10, 10, 4001)
        normal = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
        weights = mean[..., None] + stddev[..., None] * z
        prior = self.floor + sum(
            weight / (sigma * math.sqrt(2 * math.pi)) * np.exp(-0.5 * ((weights - self.loc) / sigma) ** 2)
            for weight, sigma in ((self.pi, self.sigma_1), (1 - self.pi, self.sigma_2))
        )
        return np.trapezoid(normal * (np.log(normal / prior) - np.log(stddev)[..., None]), z)


class Kl(NamedTuple):
    """Draws of a KL divergence, and the name of the dtype that the library computed them in."""

    draws: np.ndarray
    dtype: str


DEFAULT = "the library's default prior"
GAUSSIAN = "prior N(0.3, 0.7^2)"
MIXTURE = "prior 0.5 N(0, 1) + 0.5 N(0, 0.3^2)"
PRIORS = {GAUSSIAN: Prior(0.7, loc=0.3), MIXTURE: Prior(1.0, pi=0.5, sigma_2=0.3)}


class LayerUnderTest(abc.ABC):
    """One layer of one library, built for inputs of INPUT_SHAPES, in a form that all checks can use.

    Arrays are as in Keras on this side: channels last, kernels [..., inputs, outputs].

    Args:
        name: name of the layer's class, with ", random bias" after it where that is not the library's default.
        prior: name of its prior.
        dtype: precision of the layer, one of PRECISIONS; None for float32.
    """

    PACKAGES: ClassVar[Sequence[str]]
    NAMES: ClassVar[Sequence[str]]
    DEFAULT_PRIOR: ClassVar[Prior] = Prior()
    PRIOR_NAMES: ClassVar[Sequence[str]] = (DEFAULT, GAUSSIAN)
    PRECISIONS: ClassVar[Sequence[str]] = ("mixed_bfloat16", "bfloat16")
    FORMATS: ClassVar[Sequence[str]]

    def __init__(self, name: str, prior: str = DEFAULT, dtype: str | None = None):
        self.class_name, *self.options = name.split(", ")
        self.family = "conv" if "Conv" in name else "dense"
        self.dtype = dtype
        self.layer = self.make(None if prior == DEFAULT else PRIORS[prior])

    @property
    def random_bias(self) -> bool:
        """Whether the bias has a posterior."""
        return True

    @property
    def correlation(self) -> int:
        """Correlation of the noise of two examples of one batch that the layer's estimator stands for."""
        return 0 if "Flipout" in self.class_name or "Local" in self.class_name else 1

    @classmethod
    @abc.abstractmethod
    def set_seed(cls, seed: int) -> None:
        """Seeds the library's random numbers."""

    @abc.abstractmethod
    def make(self, prior: Prior | None) -> Any:
        """Returns the layer, built."""

    @abc.abstractmethod
    def assign(self, weights: Weights) -> None:
        """Sets the posterior."""

    @abc.abstractmethod
    def draws(self, inputs: np.ndarray, num_draws: int) -> np.ndarray:
        """Returns noisy outputs, [draws, batch, ..., outputs]."""

    @abc.abstractmethod
    def kl(self, num_draws: int, num_calls: int = 1) -> Kl:
        """Returns what the library collects as KL divergence of a model that calls the layer so many times."""

    @abc.abstractmethod
    def reloaded(self, file_format: str, directory: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Returns the posterior's variables of a model with the layer, before and after it was saved and loaded."""


def inputs_of(layer: LayerUnderTest) -> np.ndarray:
    """Returns inputs, the same for all libraries."""
    return np.random.default_rng(0).normal(size=INPUT_SHAPES[layer.family]).astype("float32")


def random_weights(layer: LayerUnderTest) -> Weights:
    """Returns means from N(0, 1) and standard deviations from U(0.2, 1.5), the same for all libraries."""
    rng, shape = np.random.default_rng(1), KERNEL_SHAPES[layer.family]
    kernel = rng.normal(size=shape), rng.uniform(0.2, 1.5, shape)
    bias = rng.normal(size=NUM_OUTPUTS), rng.uniform(0.2, 1.5, NUM_OUTPUTS) * layer.random_bias
    return Weights(*(array.astype("float32") for array in (*kernel, *bias)))


def softplus_inverse(value: np.ndarray) -> np.ndarray:
    """Returns rho with softplus(rho) = value."""
    value = value.astype("float64")
    return (value + np.log(-np.expm1(-value))).astype("float32")


# The libraries.


class KerasLayer(LayerUnderTest):
    """What Keras 3 and tf_keras have in common; `keras` is the one that the library uses."""

    keras: ClassVar[Any]

    def model(self, num_calls: int = 1) -> Any:
        """Returns a model that calls the layer on its inputs, once or more often."""
        inputs = self.keras.Input(INPUT_SHAPES[self.family][1:])
        return self.keras.Model(inputs, [self.layer(inputs) for _ in range(num_calls)])

    def kl(self, num_draws: int, num_calls: int = 1) -> Kl:
        """Returns the sum of `model.losses`."""
        draw = self.compiled_kl(self.model(num_calls), inputs_of(self))
        draws = [draw() for _ in range(num_draws)]
        return Kl(np.array([float(kl) for kl in draws]), draws[0].dtype.name)

    def compiled_kl(self, model: Any, inputs: np.ndarray) -> Callable[[], Any]:
        """Returns a function that calls the model and returns the sum of its losses."""
        import tensorflow as tf

        def draw() -> Any:
            model(inputs)
            return tf.add_n(model.losses)

        return tf.function(draw)

    def reloaded(self, file_format: str, directory: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Saves and loads the whole model."""
        model, path = self.model(), str(directory / f"model{file_format.replace('SavedModel', '')}")
        model.save(path)
        loaded = self.keras.models.load_model(path, custom_objects=self.custom_objects(file_format))
        return model.get_weights(), loaded.get_weights()

    def custom_objects(self, file_format: str) -> dict[str, Any] | None:
        """Returns the classes that must be named to load the file."""
        return None


class TfpBnn(KerasLayer):
    """tfp_bnn, on the Keras backend of the environment."""

    PACKAGES = ("tfp-bnn", "keras", "numpy")
    NAMES = (
        "DenseReparameterization",
        "DenseLocalReparameterization",
        "DenseFlipout",
        "DenseVariational",
        "Conv2DReparameterization",
        "Conv2DLocalReparameterization",
        "Conv2DFlipout",
    )
    PRIOR_NAMES = (DEFAULT, GAUSSIAN, MIXTURE)
    FORMATS = (".keras",)

    @classmethod
    def set_seed(cls, seed: int) -> None:
        """Seeds Keras."""
        import keras

        cls.keras = keras
        keras.utils.set_random_seed(seed)

    def make(self, prior: Prior | None) -> Any:
        """Returns the layer with a KL weight of 1, and with a random bias."""
        import tfp_bnn as bnn

        arguments: dict[str, Any] = {"kl_weight": 1.0, "dtype": self.dtype}
        if prior:
            mixture = bnn.priors.ScaleMixture(prior.sigma_1, prior.sigma_2, prior.pi) if prior.pi < 1 else None
            arguments["prior"] = mixture or bnn.priors.Normal(prior.sigma_1, prior.loc)
        if self.class_name != "DenseVariational":
            arguments |= {"bias_posterior": bnn.posteriors.MeanFieldNormal(), "bias_prior": arguments.get("prior")}
        size = (2,) if self.family == "conv" else ()
        layer = getattr(bnn.layers, self.class_name)(NUM_OUTPUTS, *size, **arguments)
        layer.build(INPUT_SHAPES[self.family])
        return layer

    def assign(self, weights: Weights) -> None:
        """Sets kernel and bias, or the one tensor of both."""
        kernel, bias = weights[:2], weights[2:]
        if self.class_name == "DenseVariational":
            both = [np.concatenate([k, b[None]]) for k, b in zip(kernel, bias, strict=True)]
            self.layer.random_weights["weights"][0].assign(*both)
        else:
            self.layer.random_weights["kernel"][0].assign(*kernel)
            self.layer.random_weights["bias"][0].assign(*bias)

    def compiled_kl(self, model: Any, inputs: np.ndarray) -> Callable[[], Any]:
        """Returns a function that calls the model, without side effects on JAX."""
        if self.keras.backend.backend() == "tensorflow":
            return super().compiled_kl(model, inputs)
        import jax

        trainable = [variable.value for variable in model.trainable_variables]
        state = [variable.value for variable in model.non_trainable_variables]
        forward = jax.jit(lambda state: model.stateless_call(trainable, state, inputs, return_losses=True)[1:])

        def draw() -> Any:
            nonlocal state
            state, losses = forward(state)
            return sum(losses[1:], start=losses[0])

        return draw

    def draws(self, inputs: np.ndarray, num_draws: int) -> np.ndarray:
        """Maps over seeds: one compilation for all draws."""
        from tfp_bnn._numerics.noise import counted

        ops, x = self.keras.ops, self.keras.ops.convert_to_tensor(inputs)

        def one_draw(seed: Any) -> Any:
            posteriors = {name: variables.read() for name, (variables, _) in self.layer.random_weights.items()}
            return self.layer.noisy_outputs(x, posteriors, counted(seed))[0]

        def all_draws(seeds: Any) -> Any:
            return ops.map(one_draw, seeds)

        if self.keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            all_draws = tf.function(all_draws, autograph=False)
        seeds = np.stack([np.full(num_draws, 11), 10 * np.arange(num_draws)], axis=1).astype("int32")
        return ops.convert_to_numpy(all_draws(ops.convert_to_tensor(seeds)))


class Tfp(KerasLayer):
    """tfp.layers on tf_keras."""

    PACKAGES = ("tensorflow-probability", "tf_keras", "tensorflow", "numpy")
    NAMES = (
        "DenseReparameterization",
        "DenseLocalReparameterization",
        "DenseLocalReparameterization, random bias",
        "DenseFlipout",
        "DenseFlipout, random bias",
        "DenseVariational",
        "Convolution2DReparameterization",
        "Convolution2DFlipout",
        "Convolution2DFlipout, random bias",
    )
    FORMATS = (".keras", ".h5", "SavedModel")

    @classmethod
    def set_seed(cls, seed: int) -> None:
        """Seeds tf_keras, and with it TensorFlow."""
        import tf_keras

        cls.keras = tf_keras
        tf_keras.utils.set_random_seed(seed)

    @property
    def random_bias(self) -> bool:
        """By default the bias of most of these layers is deterministic."""
        return bool(self.options) or self.class_name == "DenseVariational"

    def make(self, prior: Prior | None) -> Any:
        """Returns the layer, with default arguments but for the prior and a random bias."""
        import tensorflow_probability as tfp

        layers = tfp.layers
        dtype = self.dtype and self.keras.mixed_precision.Policy(self.dtype)
        if self.class_name == "DenseVariational":
            functions = dense_variational_functions(prior or self.DEFAULT_PRIOR)
            layer = layers.DenseVariational(NUM_OUTPUTS, *functions, dtype=dtype)
        else:
            arguments: dict[str, Any] = {}
            if prior:
                arguments["kernel_prior_fn"] = tfp_prior_function(prior)
            if self.random_bias:
                arguments["bias_posterior_fn"] = layers.default_mean_field_normal_fn()
                arguments["bias_prior_fn"] = arguments.get("kernel_prior_fn", layers.default_multivariate_normal_fn)
            size = (2,) if self.family == "conv" else ()
            layer = getattr(layers, self.class_name)(NUM_OUTPUTS, *size, dtype=dtype, **arguments)
        layer(np.ones(INPUT_SHAPES[self.family], "float32"))
        return layer

    def assign(self, weights: Weights) -> None:
        """Sets location and untransformed scale."""
        values = [weights.kernel_mean, softplus_inverse(weights.kernel_stddev), weights.bias_mean]
        if self.random_bias:
            values.append(softplus_inverse(weights.bias_stddev))
        if self.class_name == "DenseVariational":
            values = [np.concatenate([values[i].ravel() for i in (0, 2, 1, 3)])]
        self.layer.set_weights(values)

    def draws(self, inputs: np.ndarray, num_draws: int) -> np.ndarray:
        """Calls a compiled forward pass for each draw."""
        import tensorflow as tf

        forward, x = tf.function(self.layer), tf.constant(inputs)
        return np.stack([forward(x).numpy() for _ in range(num_draws)])

    def custom_objects(self, file_format: str) -> dict[str, Any] | None:
        """Names the layer's class, which tf_keras does not know; a SavedModel holds what it needs."""
        return None if file_format == "SavedModel" else {type(self.layer).__name__: type(self.layer)}


def tfp_prior_function(prior: Prior) -> Callable[..., Any]:
    """Returns a `kernel_prior_fn`."""
    import tensorflow_probability as tfp

    def make(dtype: Any, shape: Sequence[int], *_: Any) -> Any:
        loc = np.full(shape, prior.loc, dtype.as_numpy_dtype)
        normal = tfp.distributions.Normal(loc, dtype.as_numpy_dtype(prior.sigma_1))
        return tfp.distributions.Independent(normal, len(shape))

    return make


def dense_variational_functions(prior: Prior) -> tuple[Callable, Callable]:
    """Returns `make_posterior_fn`, as in the example of TFP's documentation, and `make_prior_fn`."""
    import tensorflow as tf
    import tensorflow_probability as tfp

    def normal(loc: Any, scale: Any) -> Any:
        return tfp.distributions.Independent(tfp.distributions.Normal(loc, scale), 1)

    def make_posterior(kernel_size: int, bias_size: int, dtype: Any) -> Any:
        n, layers = kernel_size + bias_size, tfp.layers
        make = layers.DistributionLambda(lambda t: normal(t[..., :n], tf.nn.softplus(t[..., n:])), dtype=dtype)
        return Tfp.keras.Sequential([layers.VariableLayer(2 * n, dtype=dtype), make])

    def make_prior(kernel_size: int, bias_size: int, dtype: Any) -> Any:
        loc = tf.fill([kernel_size + bias_size], tf.cast(prior.loc, dtype))
        return lambda _: normal(loc, tf.cast(prior.sigma_1, dtype))

    return make_posterior, make_prior


class TorchLayer(LayerUnderTest):
    """What the PyTorch libraries have in common."""

    PRECISIONS = ("autocast to bfloat16", "bfloat16")
    FORMATS = ("state_dict", "whole module")

    @classmethod
    def set_seed(cls, seed: int) -> None:
        """Seeds PyTorch, which is to use one thread: these layers are tiny."""
        import torch

        torch.manual_seed(seed)
        torch.set_num_threads(1)

    @abc.abstractmethod
    def parameters(self) -> Sequence[Any]:
        """Returns mean and rho of the kernel, then of the bias."""

    @staticmethod
    def outputs(result: Any) -> Any:
        """Returns the outputs among what the layer returns."""
        return result

    @abc.abstractmethod
    def collected_kl(self, model: Any) -> Any:
        """Returns the KL divergence of a module that holds the layer."""

    def collector(self, layer: Any) -> Any:
        """Returns a module that holds the layer."""
        import torch

        return torch.nn.Sequential(layer)

    @property
    def bfloat16(self) -> bool:
        """Whether parameters and inputs are bfloat16."""
        return self.dtype == "bfloat16"

    def assign(self, weights: Weights) -> None:
        """Sets mean and rho; PyTorch's kernels are [outputs, inputs, ...]."""
        import torch

        values = (weights[0], softplus_inverse(weights[1]), weights[2], softplus_inverse(weights[3]))
        with torch.no_grad():
            for parameter, value in zip(self.parameters(), values, strict=True):
                moved = np.moveaxis(value, (-1, -2), (0, 1)) if value.ndim > 1 else value
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(moved)))

    def as_torch(self, inputs: np.ndarray) -> Any:
        """Returns inputs with channels first."""
        import torch

        x = torch.from_numpy(np.ascontiguousarray(np.moveaxis(inputs, -1, 1)))
        return x.bfloat16() if self.bfloat16 else x

    def draws(self, inputs: np.ndarray, num_draws: int) -> np.ndarray:
        """Calls the layer for each draw."""
        import torch

        x = self.as_torch(inputs)
        with torch.no_grad():
            return np.moveaxis(torch.stack([self.outputs(self.layer(x)) for _ in range(num_draws)]).numpy(), 2, -1)

    def kl(self, num_draws: int, num_calls: int = 1) -> Kl:
        """Returns what the library collects from a module."""
        import torch

        layer, x = self.layer.bfloat16() if self.bfloat16 else self.layer, self.as_torch(inputs_of(self))
        model = self.collector(layer)

        def one_draw() -> Any:
            for _ in range(num_calls):
                layer(x)
            return self.collected_kl(model)

        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == self.PRECISIONS[0]):
            draws = torch.stack([one_draw() for _ in range(num_draws)])
        return Kl(draws.double().numpy(), str(draws.dtype).removeprefix("torch."))

    def reloaded(self, file_format: str, directory: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Saves the state dict, for another layer to load, or the layer itself."""
        import torch

        path, whole = directory / "model.pt", file_format == "whole module"
        torch.save(self.layer if whole else self.layer.state_dict(), path)
        loaded = torch.load(path, weights_only=not whole)
        if not whole:
            other = self.make(None)
            other.load_state_dict(loaded)
            loaded = other
        return [[p.detach().numpy() for p in layer.parameters()] for layer in (self.layer, loaded)]


class BayesianTorch(TorchLayer):
    """bayesian-torch."""

    PACKAGES = ("bayesian-torch", "torch", "numpy")
    NAMES = ("LinearReparameterization", "LinearFlipout", "Conv2dReparameterization", "Conv2dFlipout")

    def make(self, prior: Prior | None) -> Any:
        """Returns the layer; its prior is given by mean and variance."""
        from bayesian_torch import layers

        arguments = {"prior_mean": prior.loc, "prior_variance": prior.sigma_1**2} if prior else {}
        size = (2,) if self.family == "conv" else ()
        return getattr(layers, self.class_name)(NUM_INPUTS[self.family], NUM_OUTPUTS, *size, **arguments)

    def parameters(self) -> Sequence[Any]:
        """Returns mean and rho of the kernel, then of the bias."""
        kernel = "kernel" if self.family == "conv" else "weight"
        return [getattr(self.layer, f"{name}_{of}") for of in (kernel, "bias") for name in ("mu", "rho")]

    @staticmethod
    def outputs(result: Any) -> Any:
        """The layer returns outputs and KL divergence."""
        return result[0]

    def collected_kl(self, model: Any) -> Any:
        """Calls `get_kl_loss`."""
        from bayesian_torch.models.dnn_to_bnn import get_kl_loss

        return get_kl_loss(model)


class Blitz(TorchLayer):
    """BLiTZ. Its default prior is Gaussian: pi = 1."""

    PACKAGES = ("blitz-bayesian-pytorch", "torch", "numpy")
    NAMES = ("BayesianLinear", "BayesianConv2d")
    PRIOR_NAMES = (DEFAULT, GAUSSIAN, MIXTURE)
    DEFAULT_PRIOR = Prior(0.1)

    def make(self, prior: Prior | None) -> Any:
        """Returns the layer, with a scale mixture or, where that can't be, a distribution as prior."""
        import torch
        from blitz import modules

        arguments: dict[str, Any] = {}
        if prior and prior.pi < 1:
            arguments = {"prior_pi": prior.pi, "prior_sigma_1": prior.sigma_1, "prior_sigma_2": prior.sigma_2}
        elif prior:
            arguments = {"prior_dist": torch.distributions.Normal(prior.loc, prior.sigma_1)}
        size = ((2, 2),) if self.family == "conv" else ()
        return getattr(modules, self.class_name)(NUM_INPUTS[self.family], NUM_OUTPUTS, *size, **arguments)

    def parameters(self) -> Sequence[Any]:
        """Returns mean and rho of the kernel, then of the bias."""
        return [getattr(self.layer, f"{of}_{name}") for of in ("weight", "bias") for name in ("mu", "rho")]

    def collector(self, layer: Any) -> Any:
        """Returns a variational estimator."""
        import torch
        from blitz.utils import variational_estimator

        return variational_estimator(type("Model", (torch.nn.Sequential,), {}))(layer)

    def collected_kl(self, model: Any) -> Any:
        """Calls `nn_kl_divergence`."""
        return model.nn_kl_divergence()


LIBRARIES: dict[str, type[LayerUnderTest]] = {
    "tfp_bnn": TfpBnn,
    "tfp.layers": Tfp,
    "bayesian-torch": BayesianTorch,
    "BLiTZ": Blitz,
}
