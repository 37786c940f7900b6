"""Actions every so many training steps."""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from tfp_bnn._backend import sync_state
from tfp_bnn._checks import check_count


class EverySteps(keras.callbacks.Callback):
    """Calls a function with the number of training steps done, every so many steps: to plot, to save, to stop.

    Steps are updates of the weights, as the optimizer counts them: with `gradient_accumulation_steps` one takes several
    minibatches. A resumed training goes on counting, if this callback stands after the one that restores it.

    Args:
        steps: how often, a positive integer.
        function: takes the number of steps done; it may use the model.

    Raises:
        ValueError: if `steps` is not a positive integer.

    Example:

    >>> callback = EverySteps(400, lambda step: print("step", step))
    """

    def __init__(self, steps: int, function: Callable[[int], Any]):
        super().__init__()
        self.steps = check_count("steps", steps)
        self.function = function
        self._called_at = 0
        self._minibatches_left = 0
        self._last_batch = -1

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Starts at the optimizer's count."""
        self._called_at = self._steps_done()
        self._minibatches_left = self._fewest_minibatches(self._called_at)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Starts the count of batches anew."""
        self._last_batch = -1

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Calls the function if a multiple of `steps` was passed since the last call."""
        self._minibatches_left -= batch - self._last_batch
        self._last_batch = batch
        # The optimizer's count is read only when it can have got so far: it may lie on an accelerator.
        if self._minibatches_left > 0:
            return
        sync_state(self.model)
        done = self._steps_done()
        self._minibatches_left = self._fewest_minibatches(done)
        if done // self.steps > self._called_at // self.steps:
            self._called_at = done
            self.function(done)

    def _steps_done(self) -> int:
        return int(self.model.optimizer.iterations)

    def _fewest_minibatches(self, done: int) -> int:
        """Returns how many minibatches it takes at least to the next multiple; the first step may have begun."""
        steps = self.steps - done % self.steps
        accumulated = getattr(self.model.optimizer, "gradient_accumulation_steps", None) or 1
        return (steps - 1) * accumulated + 1
