"""Images that look a little different each time they are shown."""

import math

import keras
import numpy as np

MOST_SHIFT = 2


class AugmentedImages(keras.utils.PyDataset):
    """Batches of images in random order, each flipped left to right or not, and shifted by up to 2 pixels.

    Keras's own layers interpolate, which costs a small network more than its training step.

    Args:
        x: images [n, height, width, channels]; black is 0, and comes in from the side.
        y: their labels.
        batch_size: images a batch.
        seed: of order, flips and shifts.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, batch_size: int, seed: int):
        super().__init__()
        self._padded = np.pad(x, [(0, 0), (MOST_SHIFT, MOST_SHIFT), (MOST_SHIFT, MOST_SHIFT), (0, 0)])
        self._y = y
        self._shape = x.shape[1:3]
        self._batch_size = batch_size
        self._rng = np.random.default_rng(seed)
        self._order = self._rng.permutation(len(y))

    def __len__(self) -> int:
        """Returns the batches of an epoch."""
        return math.ceil(len(self._y) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns images and labels of a batch."""
        chosen = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        top, left = self._rng.integers(0, 2 * MOST_SHIFT + 1, size=(2, len(chosen), 1))
        rows, columns = top + np.arange(self._shape[0]), left + np.arange(self._shape[1])
        flipped = self._rng.random((len(chosen), 1)) < 0.5
        columns = np.where(flipped, columns[:, ::-1], columns)
        return self._padded[chosen[:, None, None], rows[:, :, None], columns[:, None, :]], self._y[chosen]

    def on_epoch_end(self) -> None:
        """Shuffles."""
        self._rng.shuffle(self._order)
