"""Every private name of Keras that the package uses, and why; each has a canary in tests/test_keras_privates.py.

Beside these there are those that a layer inherits: `VariationalLayer` extends `_get_own_losses` and `_clear_losses`,
and counts `_trainable_variables` and `_non_trainable_variables`. They have a canary too.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
from keras.src.backend.common.masking import get_keras_mask as mask_of
from keras.src.backend.common.symbolic_scope import in_symbolic_scope
from keras.src.backend.common.variables import AutocastScope
from keras.src.export.export_utils import get_input_signature as input_signature
from keras.src.losses.losses import LossFunctionWrapper
from keras.src.models.functional import Functional, functional_like_constructor
from keras.src.ops.function import make_node_key
from keras.src.ops.node import KerasHistory
from keras.src.saving.serialization_lib import SafeModeScope
from keras.src.trainers.compile_utils import MetricsList
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter
from keras.src.trainers.data_adapters.tf_dataset_adapter import TFDatasetAdapter

from tfp_bnn._call_stack import calls_elsewhere_of, calls_of

__all__ = [
    "InnerScope",
    "STORES_OF_LAYER",
    "LossFunctionWrapper",
    "MetricsList",
    "PyDatasetAdapter",
    "TFDatasetAdapter",
    "UnsavedVariable",
    "add_metric",
    "arguments_of_compile",
    "backend_variable",
    "calls_forgotten",
    "copy_functions",
    "copy_names_kept_from_weight_decay",
    "cardinality_before_batching",
    "first_call",
    "flatten_layers",
    "full_precision",
    "functions_trusted",
    "in_symbolic_scope",
    "input_signature",
    "inputs_of",
    "is_in_evaluation",
    "is_in_fit",
    "is_in_fit_elsewhere",
    "is_functional",
    "iterator_of_fit",
    "keep_from_weight_decay",
    "last_compile",
    "logits_behind",
    "loss_weights",
    "losses_replaced",
    "makes_its_own_graph",
    "mask_of",
    "operation_behind",
    "own_trainable_variables",
    "own_variables",
    "replace_in_graphs",
    "replace_layer",
    "seed_states",
    "set_trainable_alone",
    "share_of_replica",
    "sublayers",
    "uncompiled",
    "values_in_training",
]

Tensor = Any


class UnsavedVariable(keras.random.SeedGenerator):
    """A scalar that compiled functions carry along but that is not a weight: neither saved, nor restored, nor counted.

    Keras knows one kind of such state, that of seed generators: it is among a layer's `variables`, but not its
    `weights`.

    Args:
        value: its value at the start.
        name: the variable's name.
        dtype: its dtype.
    """

    def __init__(self, value: float, name: str, dtype: str = "float32"):
        # Not `super().__init__()`, which makes a seed of the state.
        self.name = name
        self.state = keras.Variable(
            value, shape=(), dtype=dtype, trainable=False, autocast=False, aggregation="none", name=name
        )


class InnerScope(keras.StatelessScope):
    """The scope in which some variables have other values; all else is as around it, another such scope included.

    Keras's own scopes hide those around them. It collects losses, and keeps what is assigned in it.

    Args:
        values: variables and their values.
    """

    def __init__(self, values: Sequence[tuple[keras.Variable, Tensor]]):
        super().__init__(state_mapping=values, collect_losses=True)
        self._updated: dict[int, keras.Variable] = {}

    def get_current_value(self, variable: keras.Variable) -> Tensor | None:
        """Returns the value that a variable has in this scope or in one around it."""
        value = super().get_current_value(variable)
        if value is None and self.original_scope is not None:
            return self.original_scope.get_current_value(variable)
        return value

    def add_update(self, update: tuple[keras.Variable, Tensor]) -> None:
        """Notes what is assigned to a variable."""
        super().add_update(update)
        self._updated[id(update[0])] = update[0]

    def updates(self) -> list[tuple[keras.Variable, Tensor]]:
        """Returns the variables that were assigned to, with the values that they got."""
        return [(variable, super(InnerScope, self).get_current_value(variable)) for variable in self._updated.values()]


@contextlib.contextmanager
def losses_replaced(model: keras.Model, losses: Sequence[Tensor]) -> Iterator[None]:
    """Makes `model.losses` these, at least one, as long as the scope is open: Keras's JAX trainer does it that way."""
    before = model._losses_override
    model._losses_override = list(losses)
    try:
        yield
    finally:
        model._losses_override = before


def share_of_replica(model: keras.Model, loss: Tensor) -> Tensor:
    """Returns what a replica of the model contributes of a loss that does not depend on its examples."""
    return model._aggregate_additional_loss(loss)


def full_precision() -> contextlib.AbstractContextManager:
    """Returns the context in which variables are read as they are, whatever the dtype policy of the layer called is."""
    return AutocastScope(None)


def add_metric(model: keras.Model, metric: keras.metrics.Metric) -> None:
    """Adds a metric to a model, also to a built one, which Keras locks against new state."""
    model._metrics.append(metric)


def iterator_of_fit(model: keras.Model) -> Any | None:
    """Returns the `EpochIterator` of the call of `model.fit` that is under way, or None if it is not found.

    `fit` tells its callbacks how many batches an epoch has, but not how many examples; only its own frame knows.
    """
    for frame in calls_of(keras.Model.fit):
        if frame.f_locals.get("self") is model:
            return frame.f_locals.get("epoch_iterator")
    return None


def is_in_fit() -> bool:
    """Returns whether a call of Keras's `fit` is under way in this thread; what compiles for it counts."""
    return any(True for _ in calls_of(keras.Model.fit))


def is_in_fit_elsewhere(model: keras.Model) -> bool:
    """Returns whether another thread is in a call of a model's `fit`."""
    return any(frame.f_locals.get("self") is model for frame in calls_elsewhere_of(keras.Model.fit))


def values_in_training(model: keras.Model) -> dict[int, Tensor]:
    """Returns the values that a model's variables, by their `id`, have outside of it: its JAX trainer holds them.

    Nothing where the model itself has them. All are of one step. The next step may delete them at any moment.
    """
    state = getattr(model, "_jax_state", None)
    if not state or model._jax_state_synced:
        return {}
    kinds = ("trainable_variables", "non_trainable_variables", "metrics_variables")
    return {
        id(variable): value
        for kind in kinds
        for variable, value in zip(getattr(model, kind), state.get(kind) or (), strict=False)
    }


def is_in_evaluation() -> bool:
    """Returns whether Keras evaluates or predicts in this thread; what compiles for it counts."""
    model = keras.Model
    return any(True for _ in calls_of(model.evaluate, model.test_on_batch, model.predict, model.predict_on_batch))


def cardinality_before_batching(adapter: TFDatasetAdapter) -> int | None:
    """Returns how many examples a `tf.data` pipeline batches; None if its last stages do not say so.

    Its public cardinality is that of batches, the last of which may be partial.
    """
    dataset = getattr(adapter, "_dataset", None)
    while dataset is not None and not hasattr(dataset, "_batch_size"):
        source = getattr(dataset, "_input_dataset", None)
        if source is None or int(source.cardinality()) != int(dataset.cardinality()):
            return None
        dataset = source
    if dataset is None:
        return None
    examples, size = int(dataset._input_dataset.cardinality()), int(dataset._batch_size)
    if examples < 0:
        return None
    # It may drop a partial batch.
    return min(examples, int(dataset.cardinality()) * size)


def logits_behind(outputs: Tensor) -> Tensor | None:
    """Returns what a softmax or sigmoid of Keras took to make these outputs; None if Keras did not note it.

    Keras's own losses read the note, so that a classifier with such a head trains well; there is no public way to it.
    Tensors traced by JAX cannot carry it.
    """
    return getattr(outputs, "_keras_logits", None)


def operation_behind(output: Tensor) -> tuple[Any, int] | None:
    """Returns the operation, a layer mostly, that made a symbolic tensor, and which of its outputs it is.

    `Operation.output` is public, but raises for a layer that is called twice.
    """
    history = getattr(output, "_keras_history", None)
    return None if history is None else (history.operation, history.tensor_index)


def inputs_of(output: Tensor) -> list[Tensor]:
    """Returns the symbolic tensors of which an operation made this one; `Operation.input` raises as `output` does."""
    operation, node_index, _ = output._keras_history
    return operation._inbound_nodes[node_index].input_tensors


def first_call(layer: keras.layers.Layer) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Returns the arguments of the first call of a layer in a graph, symbolic tensors among them."""
    arguments = layer._inbound_nodes[0].arguments
    return arguments.args, arguments.kwargs


@contextlib.contextmanager
def calls_forgotten(layer: keras.layers.Layer) -> Iterator[None]:
    """Makes a layer forget that it is called on symbolic tensors as long as the scope is open.

    Files name the calls of a layer in a graph by their numbers.
    """
    before = len(layer._inbound_nodes)
    yield
    del layer._inbound_nodes[before:]


def own_trainable_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns a layer's variables that were made to be trained, frozen or not, without those of layers inside of it."""
    return list(layer._trainable_variables)


def own_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns a layer's variables without those of layers inside of it, in the order in which files hold them."""
    return [*layer._trainable_variables, *layer._non_trainable_variables]


def seed_states(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns the states of the seed generators of a layer and of those in it: they are not among its weights."""
    return [generator.state for each in flatten_layers(layer) for generator in each._seed_generators]


def functions_trusted() -> contextlib.AbstractContextManager:
    """Returns the context in which configs may hold Python functions: those of `Lambda` layers of this process."""
    return SafeModeScope(False)


def copy_functions(layer: keras.layers.Layer, copy: keras.layers.Layer) -> None:
    """Gives `Lambda` layers in a copy the functions of the original: as bytes in a config they know no names around."""
    for source, target in zip(flatten_layers(layer), flatten_layers(copy), strict=False):
        if isinstance(source, keras.layers.Lambda) and isinstance(target, keras.layers.Lambda):
            target.function, target.mask, target._output_shape = source.function, source.mask, source._output_shape


STORES_OF_LAYER = (
    "_layers",
    "_functional",
    "_operations",
    "_operations_by_depth",
    "_metrics",
    "_tracker",
    "_self_unconditional_checkpoint_dependencies",
    "_self_unconditional_dependency_names",
)
"""Attributes in which Keras, and TensorFlow beneath it, keep the layers that they found in other ones."""


def sublayers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns the layers that a layer or model holds directly."""
    return list(layer._layers)


def replace_layer(owner: keras.layers.Layer, before: keras.layers.Layer, after: keras.layers.Layer) -> None:
    """Makes a built layer or model keep account of another layer in place of one that it holds, in the same place."""
    if owner._tracker.is_in_store("layers", before):
        owner._tracker.replace_tracked_value("layers", before, after)


def is_functional(model: keras.layers.Layer) -> bool:
    """Returns whether a model is a graph of layers, as Sequential models are."""
    return isinstance(model, keras.Sequential | Functional)


def makes_its_own_graph(model: keras.layers.Layer) -> bool:
    """Returns whether a model is a graph that the constructor of its class makes, from other arguments than a graph."""
    if isinstance(model, keras.Sequential):
        return type(model).__init__ is not keras.Sequential.__init__
    return isinstance(model, Functional) and not functional_like_constructor(type(model))


def replace_in_graphs(model: keras.Model, before: keras.layers.Layer, after: keras.layers.Layer) -> None:
    """Makes all graphs in a model run another layer, built, in those calls in which they run one.

    The graphs are not made anew: what refers to their tensors, other models of the same layers too, stays right.
    """
    holders = [each for each in flatten_layers(model) if any(inside is before for inside in each._layers)]
    graphs = [each._functional if isinstance(each, keras.Sequential) else each for each in holders]
    first = len(after._inbound_nodes)
    for graph in graphs:
        if isinstance(graph, Functional):
            for store in (graph._operations, *graph._operations_by_depth.values()):
                store[:] = [after if each is before else each for each in store]
            for number in range(len(before._inbound_nodes)):
                if (key := make_node_key(before, number)) in graph._nodes:
                    graph._nodes.remove(key)
                    graph._nodes.add(make_node_key(after, first + number))
    for number, node in enumerate(before._inbound_nodes, first):
        node.operation = after
        for place, tensor in enumerate(node.output_tensors):
            tensor._keras_history = KerasHistory(after, number, place)
    after._inbound_nodes.extend(before._inbound_nodes)
    after._outbound_nodes.extend(before._outbound_nodes)
    before._inbound_nodes.clear()
    before._outbound_nodes.clear()
    for holder in holders:
        replace_layer(holder, before, after)
        if isinstance(holder, keras.Sequential):
            # Its own list, beside the one that it keeps account in.
            holder._layers[holder._layers.index(before)] = after


def set_trainable_alone(layer: keras.layers.Layer, value: bool) -> None:
    """Sets whether a layer or model says that it is trained; what is inside of it stays as it is."""
    layer._trainable = value


def flatten_layers(model: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns a model and all layers in it, nested ones too, each once; `model.layers` has the outermost alone."""
    return model._flatten_layers()


def last_compile(model: keras.Model) -> Any:
    """Returns an object that each `compile` makes anew, None before the first.

    `compile` replaces no public object: optimizer and loss may be the ones of the compile before.
    """
    return getattr(model, "_compile_config", None)


def arguments_of_compile(model: keras.Model) -> dict[str, Any] | None:
    """Returns what a model was last compiled with, the objects themselves; None if its class compiles by itself.

    `get_compile_config` turns lambdas into bytes, which know no names around them.
    """
    compiled, ours = last_compile(model), type(model).compile is keras.Model.compile
    return dict(compiled.config) if ours and compiled is not None else None


def keep_from_weight_decay(optimizer: keras.optimizers.Optimizer, variables: Iterable[keras.Variable]) -> None:
    """Keeps variables from an optimizer's weight decay, beside those that are kept from it already.

    The public method forgets these, and refuses an optimizer that is built.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    kept = getattr(optimizer, "_exclude_from_weight_decay", set())
    optimizer._exclude_from_weight_decay = kept | {optimizer._var_key(variable) for variable in variables}
    optimizer._exclude_from_weight_decay_cache = {}


def copy_names_kept_from_weight_decay(optimizer: Any, copy: Any) -> None:
    """Makes a copy of an optimizer keep variables of the same names from weight decay: its config holds none."""
    name = "_exclude_from_weight_decay_pattern"
    source, target = (getattr(each, "inner_optimizer", each) for each in (optimizer, copy))
    if getattr(source, name, None) is not None:
        setattr(target, name, getattr(source, name))


@contextlib.contextmanager
def uncompiled(model: keras.Model) -> Iterator[None]:
    """Makes a model look as if it were not compiled while the scope is open: else `clone_model` compiles its clone."""
    before, model.compiled = model.compiled, False
    try:
        yield
    finally:
        model.compiled = before


def loss_weights(model: keras.Model) -> Any:
    """Returns the `loss_weights` that a model was last compiled with, a dict, a list or None."""
    compiled = last_compile(model)
    return None if compiled is None else compiled.config.get("loss_weights")


def backend_variable(variable: keras.Variable) -> Any:
    """Returns the backend's own variable behind a Keras variable; the public `value` may be one cast to half of it."""
    return variable._value
