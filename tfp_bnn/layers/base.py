"""The base of all Bayesian layers: their random weights, noise, KL term and config."""

import abc
import math
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

import keras

from tfp_bnn import _backend, _keras, kl
from tfp_bnn._numerics.noise import Noise
from tfp_bnn._numerics.precision import widened
from tfp_bnn.layers import held_weights
from tfp_bnn.layers.callers import check_callers
from tfp_bnn.layers.plain import GivenLayer, PlainLayer
from tfp_bnn.posteriors import Posterior, PosteriorVariables, WeightPosterior, WeightSample
from tfp_bnn.priors import Prior

Tensor = Any

KL_WEIGHT_MISSING = (
    "This Bayesian layer is being trained and its `kl_weight` is not set, so nothing says how much the KL term counts "
    "beside the data. Write model.fit(..., callbacks=[tfp_bnn.callbacks.KLWeight(num_examples=len(x_train))]), which "
    "sets 1 / num_examples in all layers, or pass kl_weight=1 / num_examples to each layer; a training loop of your "
    "own adds tfp_bnn.kl_divergence(model) / num_examples to its loss, instead of model.losses."
    f"{_backend.AFTER_A_FAILED_STEP}"
)

_SEED_STATE = "seed_state"


class VariationalLayer(keras.layers.Layer, abc.ABC):
    """Abstract base of layers whose weights have a posterior and a prior.

    A subclass makes its random weights in `build` with `add_random_weights`, and says what its outputs are for given
    weights (`outputs_at`) and with noise (`noisy_outputs`). The base draws the noise, adds `kl_weight * KL[q || p]`
    through `add_loss` once in a forward pass, and obeys weights that are held still (see `tfp_bnn.predict`).

    It stands for a Keras layer, which it holds and asks: `layer.units`, `layer.padding` and whatever else it was made
    with are that layer's.

    Args:
        layer_class: the class of `keras.layers` that it stands for, or a layer of any class.
        arguments: what that is made of, by name; without those of `keras.layers.Layer`. Of a layer nothing.
        kl_weight: what the layer's KL divergence is multiplied by in the loss, `beta / N` for N observations: training
            examples, times positions where outputs have them (time steps, pixels). None: `tfp_bnn.callbacks.KLWeight`
            sets it, for all layers of a model in one place. What is set belongs to a training: files do not hold it.
        seed: integer seed of the layer's noise; None draws one.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: if `kl_weight` is negative or not finite; if Keras's `fit` trains the layer with no KL weight set,
            or the losses of such a model are added up.
    """

    def __init__(
        self,
        layer_class: type[keras.layers.Layer] | keras.layers.Layer,
        arguments: Mapping[str, Any],
        *,
        kl_weight: float | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        given = isinstance(layer_class, keras.layers.Layer)
        self._plain = GivenLayer(layer_class) if given else PlainLayer(layer_class, arguments, self.name)
        if kl_weight is not None:
            _check_kl_weight(kl_weight)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.random_weights: dict[str, tuple[PosteriorVariables, Prior]] = {}
        self._names_of_spreads: list[str] = []
        self._configured_kl_weight = kl_weight
        self._kl_weight = _keras.UnsavedVariable(kl_weight or 0.0, "kl_weight", widened(self.variable_dtype))
        self._has_kl_weight = kl_weight is not None
        self._counted_kl: CountedKL | None = None
        self._keeps_kl = False
        self._lacks_kl_weight = False

    @property
    def trainable(self) -> bool:
        """Whether the posterior is trained. A learned prior is trained as long as one of its layers is."""
        return super().trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        # Keras freezes what a layer holds, here priors too, which may be those of other layers as well.
        keras.layers.Layer.trainable.fset(self, value)
        for _, prior in self.random_weights.values():
            prior.follow_layers()

    # What a subclass supplies.

    @abc.abstractmethod
    def outputs_at(self, inputs: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Returns the outputs, activation included, for one value of the random weights (by name)."""

    @abc.abstractmethod
    def noisy_outputs(
        self, inputs: Tensor, weights: Mapping[str, WeightPosterior], noise: Noise
    ) -> tuple[Tensor, Mapping[str, WeightSample]]:
        """Returns the outputs for random weights, activation included, and the draws that can serve the KL term."""

    @abc.abstractmethod
    def divergence(self, posterior: WeightPosterior, prior: Prior, sample: WeightSample | None, noise: Noise) -> Tensor:
        """Returns KL[q || p] of one tensor of weights in nats, or an estimate of it; `sample` is a draw at hand."""

    def start_at(self, weights: Sequence[Any]) -> None:
        """Starts the posterior at weights of that Keras layer, arrays in its order: there the means are.

        A layer that `to_bayesian` is to make supplies it; others need not.
        """
        raise ValueError(f"This layer does not say how it starts at given weights. Received: layer {self.name!r}")

    @abc.abstractmethod
    def keras_weights(self, weights: Mapping[str, Tensor]) -> list[Tensor]:
        """Returns the weights of that Keras layer, in its order, for one value of the random weights (by name)."""

    # What the base does with it.

    def put_into(self, layer: keras.layers.Layer, weights: Mapping[str, Tensor]) -> None:
        """Puts this layer's weights, the random ones as given, into the plain Keras layer for it, which is built."""
        layer.set_weights([keras.ops.convert_to_numpy(each) for each in self.keras_weights(weights)])

    def __getattr__(self, name: str) -> Any:
        """Returns an argument of the plain Keras layer; called for what is not found otherwise."""
        plain = self.__dict__.get("_plain")
        if plain is not None and name in plain.arguments:
            # `EinsumDense` keeps one of them under another name.
            return getattr(plain.layer, name, plain.arguments[name])
        if name in self.__dict__.get("random_weights", ()):
            raise AttributeError(
                "The weights of a Bayesian layer are drawn anew at each call, so that it has none to give; their "
                f"posterior, with its means, is layer.random_weights[{name!r}][0].read(). A layer whose weights other "
                "code reads can be left as it is: by `layers=` of `tfp_bnn.to_bayesian`. "
                f"Received: {name!r} of {type(self).__name__} {self.name!r}"
            )
        # Again, for the error that says what is missing.
        return object.__getattribute__(self, name)

    def keras_layer(self) -> keras.layers.Layer:
        """Returns the plain Keras layer of the same arguments, not built."""
        return self._plain.made_anew(
            **{name: getattr(self, name) for name in self._plain.arguments},
            name=self.name,
            dtype=self.dtype_policy,
            trainable=self.trainable,
            activity_regularizer=self.activity_regularizer,
        )

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape that the plain Keras layer gives."""
        return tuple(self._plain.layer.compute_output_shape(input_shape))

    def add_random_weights(
        self, name: str, shape: Sequence[int], posterior: Posterior, prior: Prior, mean: keras.Variable | None = None
    ) -> None:
        """Gives the layer a tensor of weights with a posterior of its own and a prior.

        Args:
            name: what the weights are, such as "kernel".
            shape: their shape.
            posterior: the recipe of their posterior.
            prior: their prior.
            mean: the variable of the means, where a layer inside has it already.
        """

        def add_weight(**kwargs: Any) -> Any:
            if mean is not None and kwargs["name"] == f"{name}_mean":
                return mean
            # A mixed precision policy must not round what KL and standard deviations are computed from.
            variable = self.add_weight(dtype=widened(self.variable_dtype), autocast=False, **kwargs)
            # An attribute, since `tf.train.Checkpoint` looks for variables in attributes.
            setattr(self, variable.name, variable)
            if variable.name != f"{name}_mean":
                self._names_of_spreads.append(variable.name)
            return variable

        own_prior = prior.of(name, tuple(shape))
        self.random_weights[name] = (posterior.create(add_weight, name, tuple(shape)), own_prior)
        for each in (prior, own_prior):
            each.serve(self)

    @property
    def variables_of_spreads(self) -> list[keras.Variable]:
        """The variables of the posteriors that are not means: what says how far weights spread about these."""
        return [getattr(self, name) for name in self._names_of_spreads]

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Returns the outputs at weights drawn for this call, and adds the KL term."""
        # Keras casts floats only, and weights cast to integer inputs would be cut off.
        if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(inputs.dtype)):
            inputs = keras.ops.cast(inputs, self.compute_dtype)
        return self._forward(inputs, training)

    def _forward(self, inputs: Any, training: bool) -> Any:
        """Returns the outputs at weights that are held, or at weights drawn for this call, and adds the KL term."""
        held = held_weights.of(self)
        if held is not None:
            return self.outputs_at(inputs, held)
        # Asked first: a layer inside may add losses of its own.
        counts_kl = self._counts_kl(training)
        noise, posteriors = self._noise(), self._posteriors()
        outputs, samples = self.noisy_outputs(inputs, posteriors, noise)
        if counts_kl:
            self._add_kl(posteriors, samples, noise)
        return outputs

    def _noise(self) -> Noise:
        check_callers(self)
        return Noise(lambda: _backend.of_replica(self.seed_generator.next()))

    def _posteriors(self) -> dict[str, WeightPosterior]:
        # Means may be variables of a layer inside, which a mixed precision policy would round.
        with _keras.full_precision():
            return {name: variables.read() for name, (variables, _) in self.random_weights.items()}

    def rematerialized_call(self, fn: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Callable[..., Tensor]:
        """Returns the function as it is: in `keras.RematScope` the layer is not rematerialized.

        Its KL term and the state of its noise could not leave what is run twice.
        """
        return fn

    def _counts_kl(self, training: bool) -> bool:
        if self._has_kl_weight:
            # A layer that is called twice in one forward pass has one set of weights, hence one KL term. Its own
            # losses: `losses` has those of its prior too, and of regularizers.
            return not self._get_own_losses()
        if training and _keras.is_in_fit():
            raise ValueError(f"{KL_WEIGHT_MISSING} Received: kl_weight=None in layer {self.name!r}")
        # A loop of one's own, which may ask for `tfp_bnn.kl_divergence`, or a look at the outputs: `losses` will tell.
        self._lacks_kl_weight = not _keras.in_symbolic_scope() and not _keras.is_in_evaluation()
        return False

    def _add_kl(
        self, posteriors: Mapping[str, WeightPosterior], samples: Mapping[str, WeightSample], noise: Noise
    ) -> None:
        kl = self._sum_of_divergences(posteriors, samples, noise)
        dtype = widened(kl.dtype)
        # Keras's losses are of this dtype whatever the layers are of, and its trainer adds like to like alone.
        term = keras.ops.cast(keras.ops.cast(self._kl_weight.state, dtype) * kl, keras.config.floatx())
        if self._keeps_kl:
            self._counted_kl = CountedKL(kl, term)
        self.add_loss(term)

    def _sum_of_divergences(
        self, posteriors: Mapping[str, WeightPosterior], samples: Mapping[str, WeightSample], noise: Noise
    ) -> Tensor:
        return sum(
            self.divergence(posteriors[name], prior, samples.get(name), noise)
            for name, (_, prior) in self.random_weights.items()
        )

    def kl_divergence(self) -> Tensor:
        """Returns KL[q || p] of all random weights of the layer in nats, or an estimate at a draw of its own."""
        return self._sum_of_divergences(self._posteriors(), {}, self._noise())

    def keep_kl(self) -> None:
        """Makes each forward pass keep what it counts, for `take_kl`: only where somebody takes it, so that training
        can log it, since a tensor of a traced function that outlives it holds all of its memory.
        """
        self._keeps_kl = True

    def take_kl(self) -> "CountedKL | None":
        """Returns what the last forward pass counted and kept, and forgets it."""
        counted, self._counted_kl = self._counted_kl, None
        return counted

    def _get_own_losses(self) -> list[Any]:
        losses = super()._get_own_losses()
        return [*losses, MissingKL(self.name)] if self._lacks_kl_weight else losses

    def _clear_losses(self) -> None:
        self._lacks_kl_weight = False
        super()._clear_losses()

    def draw_for_sequence(self, training: bool) -> dict[str, Tensor]:
        """Draws all random weights of the layer once, by name, and adds the KL term: for a layer run at each step."""
        noise, posteriors = self._noise(), self._posteriors()
        draws = {name: posterior.sample(noise) for name, posterior in posteriors.items()}
        if self._counts_kl(training):
            self._add_kl(posteriors, draws, noise)
        return {name: draw.value for name, draw in draws.items()}

    def sample_weights(self, noise: Noise) -> dict[str, Tensor]:
        """Draws all random weights of the layer once; returns them by name."""
        return {name: posterior.sample(noise).value for name, posterior in self._posteriors().items()}

    @property
    def kl_weight(self) -> float | None:
        """What the KL divergence is multiplied by in the loss, or None if that was never set."""
        # A sum, since the variables of several replicas are not numbers themselves.
        return float(keras.ops.add(self._kl_weight.state, 0.0)) if self._has_kl_weight else None

    @kl_weight.setter
    def kl_weight(self, value: float) -> None:
        _check_kl_weight(value)
        self._kl_weight.state.assign(value)
        self._has_kl_weight = True

    def save_own_variables(self, store: MutableMapping[str, Any]) -> None:
        """Saves the variables, and how far the noise has come: Keras leaves the state of seed generators out."""
        super().save_own_variables(store)
        store[_SEED_STATE] = self.seed_generator.state

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Loads what was saved."""
        self.seed_generator.state.assign(store[_SEED_STATE])
        weights = [store[name] for name in sorted(set(store.keys()) - {_SEED_STATE}, key=int)]
        if len(weights) == len(self._trainable_variables) + len(self._non_trainable_variables) + 1:
            # Files of version 0.1.0 hold the KL weight too, before all other weights that are not trained.
            del weights[len(self._trainable_variables)]
        super().load_own_variables({str(index): weight for index, weight in enumerate(weights)})

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {
            **super().get_config(),
            **self._plain.config(),
            "kl_weight": self._configured_kl_weight,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "VariationalLayer":
        """Makes the layer that `get_config` describes, also after Keras serialized its priors and posteriors."""

        def restore(value: Any) -> Any:
            if isinstance(value, dict) and "class_name" in value:
                return keras.saving.deserialize_keras_object(value)
            # A clone is made of configs that hold the original's prior itself.
            return type(value).from_config(value.get_config()) if isinstance(value, Prior) else value

        return cls(**{name: restore(value) for name, value in config.items()})


class CountedKL(NamedTuple):
    """A layer's KL divergence in a forward pass, in nats, and the term of the loss that it became."""

    nats: Tensor
    term: Tensor


class MissingKL:
    """Stands in `model.losses` for a KL term that has no weight: who adds it to a loss gets an error, not nothing.

    Args:
        layer_name: the layer whose `kl_weight` is not set.
    """

    def __init__(self, layer_name: str):
        self.layer_name = layer_name

    def __repr__(self) -> str:
        return f"MissingKL({self.layer_name!r}: its kl_weight is not set)"

    def _raise(self, *args: Any, **kwargs: Any) -> Any:
        raise ValueError(f"{KL_WEIGHT_MISSING} Received: kl_weight=None in layer {self.layer_name!r}")

    __add__ = __radd__ = __mul__ = __rmul__ = __truediv__ = __sub__ = __rsub__ = __float__ = _raise
    __array__ = __tf_tensor__ = __jax_array__ = _raise
    shape = dtype = property(_raise)


# So that a compiled function may return the losses of a model.
_backend.register_constant(MissingKL, lambda kl: kl.layer_name)


def _check_kl_weight(value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"`kl_weight` must be a finite number of at least 0. Received: kl_weight={value}")


def monte_carlo_divergence(
    posterior: WeightPosterior, prior: Prior, sample: WeightSample | None, noise: Noise
) -> Tensor:
    """Returns log q(w) - log p(w) at the draw at hand, or at one of its own."""
    return kl.monte_carlo(posterior.sample(noise) if sample is None else sample, prior)


def exact_or_estimated(posterior: WeightPosterior, prior: Prior, sample: WeightSample | None, noise: Noise) -> Tensor:
    """Returns KL[q || p] in closed form where there is one, otherwise the Monte Carlo estimate."""
    if kl.has_closed_form(posterior, prior):
        return kl.closed_form(posterior, prior)
    return monte_carlo_divergence(posterior, prior, sample, noise)


def variational_layers(model: keras.layers.Layer) -> list[VariationalLayer]:
    """Returns all Bayesian layers of a model, nested ones too, each once.

    Args:
        model: a Keras model or layer.

    Example:

    >>> from tfp_bnn import models
    >>> [layer.units for layer in variational_layers(models.mlp((4,), units=(8,), num_outputs=2))]
    [8, 2]
    """
    return [layer for layer in _keras.flatten_layers(model) if isinstance(layer, VariationalLayer)]


def built_variational_layers(model: keras.layers.Layer) -> list[VariationalLayer]:
    """Returns all Bayesian layers of a model; raises ValueError if some of them are not built."""
    layers = variational_layers(model)
    not_built = [layer.name for layer in layers if not layer.built]
    if not_built:
        raise ValueError(
            "A layer has no weights before it is built; call the model once. "
            f"Received: {', '.join(not_built)}, not built"
        )
    return layers
