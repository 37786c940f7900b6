"""What the package needs of Keras that has no public name, each with a test in tests/test_keras_privates.py."""

from typing import Any

import keras


def backend_variable(variable: keras.Variable) -> Any:
    """Returns the backend's own variable behind a Keras variable; the public `value` may be one cast to half of it."""
    return variable._value
