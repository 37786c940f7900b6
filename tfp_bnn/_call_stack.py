"""The calls that are under way in this thread. What Keras tells nobody, the frames of its own calls know."""

import inspect
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any


def frames() -> Iterator[FrameType]:
    """Yields the frames of the calls under way, the innermost first."""
    frame = inspect.currentframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


def code_of(function: Callable[..., Any]) -> CodeType:
    """Returns the code of a function or method behind its decorators.

    Example:

    >>> code_of(code_of).co_name
    'code_of'
    """
    return inspect.unwrap(getattr(function, "__func__", function)).__code__


def calls_of(*functions: Callable[..., Any]) -> Iterator[FrameType]:
    """Yields the frames of those calls under way that are of these functions, the innermost first."""
    codes = set(map(code_of, functions))
    return (frame for frame in frames() if frame.f_code in codes)
