"""Several networks in one: a posterior with several modes."""

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from tfp_bnn import _keras
from tfp_bnn._checks import check_count
from tfp_bnn.prediction.mixture import HasMembers

Tensor = Any


def ensemble(make_model: Callable[[], keras.Model], num_members: int = 5) -> "Ensemble":
    """Returns several networks as one model: `fit` trains them, and the draws of `tfp_bnn.predict` are shared out.

    Its posterior is the mixture `q(w) = (1/K) sum_k q_k(w)`: each q_k settles in another mode, which one Gaussian
    posterior cannot. Plain networks make a deep ensemble of K draws.

    Args:
        make_model: a function without arguments that returns a network, compiled or not, with weights of its own. It
            is called `num_members` times.
        num_members: how many, K.

    Returns:
        The model. `fit` trains members that `make_model` compiled; `compile` compiles them anew.

    Raises:
        ValueError: if `num_members` is less than 1, or if the function returns no Keras model, one twice, or two with
            equal weights.

    Example:

    >>> from tfp_bnn import layers, likelihoods
    >>> def make_model():
    ...     model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    ...     model.compile("adam", loss=likelihoods.Normal(scale=1.0))
    ...     return model
    >>> model = ensemble(make_model, num_members=3)
    >>> len(model.members), len(model.trainable_variables)
    (3, 9)

    Source: Lakshminarayanan et al. 2017, "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles";
    Wilson and Izmailov 2020, "Bayesian Deep Learning and a Probabilistic Perspective of Generalization", section 3.2
    (MultiSWAG, for mixtures of posteriors).
    """
    members = [make_model() for _ in range(check_count("num_members", num_members))]
    model = Ensemble(members)
    _check_start(members)
    return model


@keras.saving.register_keras_serializable("tfp_bnn.models")
class Ensemble(HasMembers, keras.Model):
    """The model of `ensemble`; or one made of networks that are there already, trained ones too.

    A call is a draw of the posterior: the outputs of one member, at random, at a draw of its weights.

    Args:
        members: the networks; their outputs and likelihoods are alike.

    Raises:
        ValueError: if there is none, or they are not different Keras models.
    """

    def __init__(self, members: Sequence[keras.Model], name: str = "ensemble", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        if not members or not all(isinstance(member, keras.Model) for member in members):
            raise ValueError(f"`members` must be Keras models, at least one. Received: members={members!r}")
        if len({id(member) for member in members}) < len(members):
            raise ValueError("Each member must be a model of its own. Received: one model several times")
        self.members = list(members)
        self.seed_generator = keras.random.SeedGenerator()
        self.built = all(member.built for member in members)

    def build(self, input_shape: Any) -> None:
        """Builds the members for inputs of this shape."""
        for member in self.members:
            if not member.built:
                member.build(input_shape)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Returns the outputs of one member, drawn at random."""
        drawn = keras.random.randint((), 0, len(self.members), seed=self.seed_generator)
        outputs = [member(inputs, training=training) for member in self.members]
        return keras.tree.map_structure(lambda *each: keras.ops.take(keras.ops.stack(each), drawn, axis=0), *outputs)

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, **kwargs: Any) -> None:
        """Compiles each member as `keras.Model.compile` does, each with an optimizer and metrics of its own.

        Args:
            optimizer: its name, or one whose configuration those of the members take.
            loss: the likelihood.
            **kwargs: what else Keras's `compile` takes.
        """
        given = keras.optimizers.get(optimizer)
        for member in self.members:
            own = keras.optimizers.deserialize(keras.optimizers.serialize(given))
            _keras.copy_names_kept_from_weight_decay(given, own)
            member.compile(own, loss, **copy.deepcopy(kwargs))

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> list[keras.callbacks.History]:
        """Trains the members, one after the other, each as its own `fit` does.

        Args:
            x: inputs, or data that can be read once for each member.
            y: targets.
            *args: what else Keras's `fit` takes.
            **kwargs: likewise; `callbacks` see one training after the other.

        Returns:
            The `History` of each member.

        Raises:
            ValueError: if `x` is an iterator, which only the first member could read.
        """
        if isinstance(x, Iterator) and len(self.members) > 1:
            raise ValueError(
                "Each member reads the data, and an iterator can be read once: give arrays, a tf.data.Dataset or a "
                f"PyDataset. Received: x={type(x).__name__}"
            )
        return [member.fit(x, y, *args, **kwargs) for member in self.members]

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Raises ValueError: `tfp_bnn.evaluate` measures the mixture, and each member has an `evaluate` of its own."""
        raise ValueError(
            "Keras would measure one draw. Write tfp_bnn.evaluate(model, x, y), or evaluate one of model.members. "
            f"Received: evaluate of {self.name!r}"
        )

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes, the members serialized."""
        return {"name": self.name, "members": [keras.saving.serialize_keras_object(each) for each in self.members]}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Ensemble":
        """Makes the model that `get_config` describes."""
        members = [keras.saving.deserialize_keras_object(each, custom_objects) for each in config["members"]]
        return cls(members, name=config["name"])


def _check_start(members: Sequence[keras.Model]) -> None:
    """Raises ValueError if two networks have the same trainable weights, which a random start never gives."""
    for first, second in itertools.combinations(members, 2):
        pairs = zip(*(_arrays(member.trainable_variables) for member in (first, second)), strict=False)
        if first.trainable_variables and all(np.array_equal(*pair) for pair in pairs):
            raise ValueError(
                "Members must start apart, and two have the same weights: does `make_model` set the seed, or load a "
                f"file? Then write Ensemble([...]). Received: equal weights in {first.name!r} and {second.name!r}"
            )


def _arrays(variables: Sequence[Any]) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable.value) for variable in variables]
