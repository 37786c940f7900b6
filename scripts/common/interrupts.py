"""Interrupted training: Ctrl-C takes effect between two steps, where the model is whole; what is killed goes on."""

import json
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import keras
import pandas as pd

import tfp_bnn as bnn
from scripts.common import reporting
from scripts.common.reporting import ScriptError, log


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


class StepsDone(keras.callbacks.ProgbarLogger):
    """Keras's progress line, with the steps that an epoch had: Keras writes all 391/391 if it stopped after 88."""

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Ends the line with the step that was the last."""
        self.progbar.update(self.seen, list((logs or {}).items()), finalize=True)


class Seconds(keras.callbacks.Callback):
    """Notes how long each epoch took: `seconds` in the logs, and thus in the history."""

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds the time to the logs that the callbacks after this one get."""
        if logs is not None:
            logs["seconds"] = round(time.perf_counter() - self._started, 2)


class Backup(keras.callbacks.BackupAndRestore):
    """Writes model.keras at the end of epochs, then a backup of the training beside it, and restores that.

    Args:
        directory: where both go.
        every: after how many epochs.
    """

    def __init__(self, directory: Path, every: int = 1):
        super().__init__(directory / "backup", double_checkpoint=True, delete_checkpoint=False)
        self._directory = directory
        self._every = every

    def restore(self, model: keras.Model) -> int:
        """Restores a training, if it was backed up; returns how many epochs it has done."""
        self.set_model(model)
        try:
            self.on_train_begin()
            metadata = Path(self.backup_dir) / "training_metadata.json"
            return json.loads(metadata.read_text())["epoch"] if metadata.exists() else 0
        except (ValueError, KeyError, OSError) as error:
            raise ScriptError(
                f"{self.backup_dir} must hold a backup of a training with the same arguments. Received: {error}"
            ) from error

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Writes both, if it is time."""
        if (epoch + 1) % self._every:
            return
        model = reporting.save_model(self.model, self._directory)
        # On a full disk h5py, which writes the backup, may crash Python. A backup is as large as the model; twice that
        # leaves room for the rest.
        reporting.check_room(self._directory, 2 * model.stat().st_size)
        super().on_epoch_end(epoch, logs)


def resume(model: keras.Model, directory: Path, every: int = 1) -> tuple[int, list[keras.callbacks.Callback]]:
    """Restores the training in a directory, if there is one.

    Args:
        model: the model, compiled as it was then.
        directory: where history.csv, model.keras and the backup are, or will be.
        every: after how many epochs there shall be backups.

    Returns:
        How many epochs it has done, and the callbacks that write the history, with the seconds of epochs, and backups.
    """
    backup = Backup(directory, every)
    done = backup.restore(model)
    history = directory / "history.csv"
    _drop_epochs(history, done)
    # The history before the backup: a row too many is dropped after a kill, a missing one would be lost.
    return done, [Seconds(), keras.callbacks.CSVLogger(history, append=True), backup]


def read_history(directory: Path) -> pd.DataFrame:
    """Returns what was noted of each epoch; nothing if the first one was interrupted."""
    history = directory / "history.csv"
    return pd.read_csv(history) if history.exists() and history.stat().st_size else pd.DataFrame({"seconds": []})


def _drop_epochs(history: Path, first: int) -> None:
    """Drops the rows of epochs that will be trained again."""
    if history.exists():
        header, *rows = history.read_bytes().splitlines(keepends=True) or [b""]
        with reporting.whole_file(history) as path:
            path.write_bytes(b"".join([header, *(row for row in rows if int(row.split(b",")[0]) < first)]))


def fit(model: keras.Model, *data: Any, callbacks: Sequence[keras.callbacks.Callback], **arguments: Any) -> bool:
    """Trains a model by `model.fit`, with one line an epoch in a log file; returns whether it went to the end."""
    finished = True
    try:
        with InterruptBetweenSteps() as interrupt:
            # A moving bar in a terminal.
            verbose = 1 if sys.stdout.isatty() else 2
            model.fit(*data, verbose=verbose, callbacks=[*callbacks, interrupt, StepsDone()], **arguments)
    except KeyboardInterrupt:
        log.warning("keeping the model as it is")
        finished = False
    bnn.callbacks.sync_state(model)
    return finished
