"""Monte Carlo prediction: many draws of the network's weights, and what their outputs say together."""

import numbers
import random
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import scipy.special
from tqdm import auto as tqdm

from tfp_bnn import _backend, held_weights
from tfp_bnn.layers.variational_layer import variational_layers
from tfp_bnn.likelihoods import Likelihood
from tfp_bnn.noise import counted

Tensor = Any

_BAR_DELAY_SECONDS = 2.0


class Predictive:
    """The predictive distribution of n inputs: equal mixture of p(y | x, w) over draws of the weights w.

    Args:
        outputs: the network's outputs, [draws, n, outputs].
        likelihood: what turns them into distributions.

    Raises:
        ValueError: if `outputs` has another rank.

    Example:

    >>> from tfp_bnn import likelihoods
    >>> predictive = Predictive(np.zeros((50, 3, 2)), likelihoods.Categorical())
    >>> predictive.mean().shape, len(predictive[:2])
    ((3, 2), 2)
    """

    def __init__(self, outputs: np.ndarray, likelihood: Likelihood):
        outputs = np.asarray(outputs)
        if outputs.ndim != 3:
            raise ValueError(f"`outputs` must be [draws, n, outputs]. Received: outputs of shape {outputs.shape}")
        self.outputs = outputs
        self.likelihood = likelihood

    def __len__(self) -> int:
        return self.outputs.shape[1]

    def __getitem__(self, index: int | slice | np.ndarray) -> "Predictive":
        """Returns the predictive distribution of some of the inputs; one index gives one input."""
        if isinstance(index, numbers.Integral):
            index = np.arange(len(self))[index].reshape(1)
        return Predictive(self.outputs[:, index], self.likelihood)

    def __repr__(self) -> str:
        draws, inputs, _ = self.outputs.shape
        return f"Predictive({draws} draws for {inputs} inputs, {type(self.likelihood).__name__})"

    @property
    def draws(self) -> np.ndarray:
        """E[y | x, w] of each draw, [draws, n, d]; for classes, their probabilities."""
        return _numpy(self.likelihood.mean(self.outputs))

    def mean(self) -> np.ndarray:
        """Returns E[y | x], [n, d]; for classes, their probabilities."""
        return self.draws.mean(axis=0)

    def log_prob(self, y: np.ndarray) -> np.ndarray:
        """Returns the held-out nats `log (1/S) sum_s p(y | x, w_s)`, [n].

        Args:
            y: labels or targets of the n inputs.

        Raises:
            ValueError: if there are not n, or if the likelihood does not allow one of them.
        """
        y = np.asarray(y)
        if y.ndim == 0 or len(y) != len(self):
            raise ValueError(f"`y` must have one target for each of {len(self)} inputs. Received: shape {y.shape}")
        log_probs = _numpy(self.likelihood.log_prob(self.outputs, self.likelihood.check_targets(self.outputs, y)))
        return scipy.special.logsumexp(log_probs, axis=0) - np.log(len(self.outputs))

    def entropy(self) -> np.ndarray:
        """Returns the entropy of the predictive distribution in nats, [n]: aleatoric and epistemic together."""
        return _numpy(self.likelihood.predictive_entropy(self.outputs))

    def expected_entropy(self) -> np.ndarray:
        """Returns the mean over draws of the entropy of p(y | x, w) in nats, [n]: the aleatoric part."""
        return _numpy(self.likelihood.entropy(self.outputs)).mean(axis=0)

    def mutual_information(self) -> np.ndarray:
        """Returns the mutual information of y and the weights in nats, [n]: the epistemic part.

        It is what is left of the entropy when the expected entropy is taken away.

        Source: Houlsby et al. 2011, "Bayesian Active Learning for Classification and Preference Learning", equation 2.
        """
        return np.maximum(self.entropy() - self.expected_entropy(), 0.0)

    def epistemic_stddev(self) -> np.ndarray:
        """Returns the standard deviation over draws of E[y | x, w], [n, d]."""
        return self.draws.std(axis=0)

    def aleatoric_stddev(self) -> np.ndarray:
        """Returns the root of the mean over draws of Var[y | x, w], [n, d].

        The squares of both standard deviations add up to Var[y | x], by the law of total variance.
        """
        return np.sqrt(_numpy(self.likelihood.variance(self.outputs)).mean(axis=0))

    def distribution(self) -> Any:
        """Returns the predictive distribution as a TFP distribution."""
        return self.likelihood.predictive_distribution(keras.ops.convert_to_tensor(self.outputs))


def predict(
    model: keras.Model,
    x: Any,
    num_draws: int = 50,
    batch_size: int = 1000,
    *,
    likelihood: Likelihood | None = None,
    seed: int | None = None,
    verbose: bool = True,
) -> Predictive:
    """Draws a model's weights many times and runs all of `x` through each of the drawn networks.

    The draws of a batch run inside one compiled function; memory is bounded by the batch, however many draws.

    Args:
        model: a Keras model with Bayesian layers, one output [n, outputs].
        x: inputs, an array [n, ...] or the structure of such arrays that the model takes.
        num_draws: how many weight draws, at least 1.
        batch_size: how many inputs are computed at once.
        likelihood: what turns outputs into distributions; None takes the one that the model was compiled with.
        seed: integer that makes the draws repeatable; None draws one.
        verbose: whether a progress bar appears if it takes more than two seconds.

    Returns:
        The `Predictive` distribution of the n inputs.

    Raises:
        ValueError: if an argument is out of range or there is no likelihood.

    Example:

    >>> from tfp_bnn import layers, likelihoods
    >>> model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(2)])
    >>> predictive = predict(model, np.ones((3, 4)), num_draws=20, likelihood=likelihoods.Categorical(), seed=1)
    >>> predictive.draws.shape
    (20, 3, 2)
    """
    for name, value in (("num_draws", num_draws), ("batch_size", batch_size)):
        if not isinstance(value, numbers.Integral) or value < 1:
            raise ValueError(f"`{name}` must be an integer of at least 1. Received: {name}={value!r}")
    likelihood = _likelihood_of(model) if likelihood is None else likelihood
    batches = list(_batches(x, batch_size))
    if not model.built:
        model(batches[0])
    draw_outputs = _compiled(model)
    seeds = _seeds(model, num_draws, random.getrandbits(31) if seed is None else seed)
    bar = tqdm.tqdm(batches, desc=f"{num_draws} draws", unit="batch", delay=_BAR_DELAY_SECONDS, disable=not verbose)
    outputs = np.concatenate([_numpy(draw_outputs(batch, seeds)) for batch in bar], axis=1)
    return Predictive(outputs.astype("float32", copy=False), likelihood)


def _likelihood_of(model: keras.Model) -> Likelihood:
    loss = getattr(model, "loss", None)
    if not isinstance(loss, Likelihood):
        raise ValueError(
            "A prediction needs a likelihood: compile the model with one, such as "
            "model.compile(..., loss=tfp_bnn.likelihoods.Categorical()), or pass predict(..., likelihood=...). "
            f"Received: a model with loss={loss!r}"
        )
    return loss


def _batches(x: Any, batch_size: int) -> Iterator[Any]:
    arrays = keras.tree.map_structure(np.asarray, x)
    sizes = {array.shape[0] if array.ndim else 0 for array in keras.tree.flatten(arrays)}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError(f"`x` must hold at least one input, and as many in each array. Received: sizes {sizes}")
    (size,) = sizes
    for start in range(0, size, batch_size):
        yield keras.tree.map_structure(lambda array, start=start: array[start : start + batch_size], arrays)


def _seeds(model: keras.Model, num_draws: int, seed: int) -> np.ndarray:
    """Returns one seed a draw, [draws, 2]; between them there is room for one for each tensor of weights."""
    tensors = sum(len(layer.random_weights) for layer in variational_layers(model))
    first = np.full(num_draws, seed % (2**31 - 1))
    return np.stack([first, np.arange(num_draws) * max(tensors, 1)], axis=1).astype("int32")


def _outputs_of_draw(model: keras.Model, inputs: Tensor, seed: Tensor) -> Tensor:
    noise = counted(seed)
    weights = {layer: layer.sample_weights(noise) for layer in variational_layers(model)}
    with held_weights.hold(weights):
        outputs = model(inputs, training=False)
    if not keras.ops.is_tensor(outputs):
        raise ValueError(f"`predict` takes models of one output. Received: {len(outputs)} outputs of {model.name!r}")
    return outputs


# Compiling takes as long as many a prediction, and training draws plots again and again.
_COMPILED: weakref.WeakKeyDictionary[keras.Model, Callable] = weakref.WeakKeyDictionary()


def _compiled(model: keras.Model) -> Callable[[Any, np.ndarray], Tensor]:
    """Returns the compiled function of (inputs, seeds) that gives outputs [draws, n, outputs]."""
    if model not in _COMPILED:
        # A strong reference to the model, in the cache's value, would keep the model alive for ever.
        compile_draws = _compile_tensorflow if _backend.name() == "tensorflow" else _compile_jax
        _COMPILED[model] = compile_draws(weakref.ref(model))
    return _COMPILED[model]


def _compile_tensorflow(model: Callable[[], keras.Model]) -> Callable[[Any, np.ndarray], Tensor]:
    import tensorflow as tf

    @tf.function(jit_compile=model().jit_compile, reduce_retracing=True)
    @tf.autograph.experimental.do_not_convert
    def draw_outputs(inputs: Any, seeds: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(
            lambda seed: tf.cast(_outputs_of_draw(model(), inputs, seed), tf.float32),
            seeds,
            parallel_iterations=1,
            fn_output_signature=tf.float32,
        )

    def on_tensors(inputs: Any, seeds: np.ndarray) -> tf.Tensor:
        return draw_outputs(keras.tree.map_structure(tf.convert_to_tensor, inputs), tf.convert_to_tensor(seeds))

    return on_tensors


def _compile_jax(model: Callable[[], keras.Model]) -> Callable[[Any, np.ndarray], Tensor]:
    import jax

    @jax.jit
    def draw_outputs(values: list[Tensor], inputs: Any, seeds: Tensor) -> Tensor:
        def one_draw(seed: Tensor) -> Tensor:
            with keras.StatelessScope(state_mapping=list(zip(model().variables, values, strict=True))):
                return _outputs_of_draw(model(), inputs, seed)

        return jax.lax.map(one_draw, seeds)

    def on_values(inputs: Any, seeds: np.ndarray) -> Tensor:
        return draw_outputs([variable.value for variable in model().variables], inputs, seeds)

    return on_values


def _numpy(tensor: Tensor) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)
