"""The layers on Keras: those of tfp_bnn on Keras 3, TFP's on Keras 2."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.conformance.layer_under_test import (
    DEFAULT,
    GAUSSIAN,
    INPUT_SHAPES,
    MIXTURE,
    NUM_OUTPUTS,
    Kl,
    LayerUnderTest,
    Prior,
    Weights,
    inputs_of,
    softplus_inverse,
)


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
