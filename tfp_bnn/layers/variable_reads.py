"""Which variables a function reads: what a posterior or prior that a user's function returned is made of."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from tfp_bnn import _backend, _keras


class Reads(NamedTuple):
    """What a function returned, the Keras variables that it read, and the trainable variables of another kind."""

    result: Any
    keras_variables: list[keras.Variable]
    foreign_variables: list[Any]


class _RecordingScope(keras.StatelessScope):
    """Records which variables are read. Nothing that is updated within it lasts."""

    def __init__(self) -> None:
        super().__init__()
        self.read: dict[int, keras.Variable] = {}

    def get_current_value(self, variable: keras.Variable) -> Any:
        self.read[id(variable)] = variable
        value = super().get_current_value(variable)
        if value is None and self.original_scope is not None:
            return self.original_scope.get_current_value(variable)
        return value


def reads_of(function: Callable[[], Any]) -> Reads:
    """Calls a function and returns what it read.

    Args:
        function: called once; what it updates does not last.

    Example:

    >>> variable = keras.Variable(2.0, name="scale")
    >>> [read.name for read in reads_of(lambda: 3 * variable).keras_variables]
    ['scale']
    """
    scope = _RecordingScope()

    def call() -> Any:
        with scope:
            return function()

    result, watched = _backend.watch(call)
    keras_variables = list(scope.read.values())
    of_keras = {id(part) for read in keras_variables for part in _backend.parts_of(_keras.backend_variable(read))}
    return Reads(result, keras_variables, [variable for variable in watched if id(variable) not in of_keras])


def variables_in(parameters: Any) -> list[keras.Variable]:
    """Returns the Keras variables among the parameters of a TFP distribution, and of the distributions inside of it.

    Args:
        parameters: a distribution's `parameters`, or what is in them.
    """
    found = []
    for parameter in keras.tree.flatten(parameters):
        if isinstance(parameter, keras.Variable):
            found.append(parameter)
        elif isinstance(inner := getattr(parameter, "parameters", None), dict):
            found.extend(variables_in(inner))
    return found
