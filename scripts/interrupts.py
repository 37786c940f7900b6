"""Ctrl-C between two training steps, where the model is whole."""

import signal
from collections.abc import Mapping
from types import FrameType, TracebackType
from typing import Any

import keras
from reporting import log


class InterruptBetweenSteps(keras.callbacks.Callback):
    """Puts Ctrl-C off to the end of the training step; a second one takes effect at once.

    In the middle of a step NumPy may swallow the exception while it converts a JAX array, and training would go on.
    It is a context manager as well: Ctrl-C is put off inside it only.
    """

    def __init__(self) -> None:
        super().__init__()
        self._interrupted = False

    def __enter__(self) -> "InterruptBetweenSteps":
        self._previous = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        signal.signal(signal.SIGINT, self._previous)

    def _note(self, number: int, frame: FrameType | None) -> None:
        log.warning("interrupted: this step is the last one; once more to stop at once")
        self._interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Raises the KeyboardInterrupt that was put off."""
        if self._interrupted:
            raise KeyboardInterrupt
