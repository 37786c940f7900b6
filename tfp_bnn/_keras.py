"""Every private name of Keras that the package uses, each in a function that says why."""

from typing import Any

Tensor = Any


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
