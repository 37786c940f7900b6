"""The calls that are under way. What Keras tells nobody, the frames of its own calls know."""

import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any


def frames() -> Iterator[FrameType]:
    """Yields the frames of the calls under way in this thread, the innermost first."""
    return _outwards(inspect.currentframe())


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
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
    """Yields the frames of those calls under way in this thread that are of these functions, the innermost first."""
    codes = set(map(code_of, functions))
    return (frame for frame in frames() if frame.f_code in codes)


def calls_elsewhere_of(*functions: Callable[..., Any]) -> Iterator[FrameType]:
    """Yields the frames of those calls under way in other threads that are of these functions."""
    codes = set(map(code_of, functions))
    for thread, innermost in sys._current_frames().items():
        if thread != threading.get_ident():
            yield from (frame for frame in _outwards(innermost) if frame.f_code in codes)
