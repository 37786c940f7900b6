"""Threefry-2x32, the generator of random bits: a block cipher that encrypts a counter.

It is the generator of `jax.random`, number for number, written in elementwise arithmetic of 32-bit integers. So a seed
gives the same bits on each backend, compiled or not, and XLA draws them inside the loop that uses them. JAX's own, on
a CPU, makes a pass over memory for each group of rounds and takes three times as long.
"""

from typing import Any

import keras

Tensor = Any

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_GROUPS_OF_ROUNDS = 5


def random_bits(key: Tensor, size: Any) -> Tensor:
    """Returns random bits, uint32 of shape [size]: for each of the counts 0, 1, 2 ... both halves of its block, xored.

    Args:
        key: uint32 of shape [2].
        size: how many, an integer or a scalar tensor, below 2^31.

    Example:

    >>> bits = random_bits(keras.ops.array([1, 2], "uint32"), 3)
    >>> tuple(bits.shape), keras.backend.standardize_dtype(bits.dtype)
    ((3,), 'uint32')

    Source: Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3", section 3.4 (20 rounds).
    """
    ops = keras.ops
    count = ops.cast(ops.arange(size, dtype="int32"), "uint32")
    keys = (key[0], key[1], key[0] ^ key[1] ^ _uint32(_PARITY))
    # The count is the right half of the plaintext; the left one is 0.
    left, right = ops.broadcast_to(keys[0], ops.shape(count)), count + keys[1]
    for group in range(_GROUPS_OF_ROUNDS):
        for rotation in _ROTATIONS[group % 2]:
            left = left + right
            right = _rotate_left(right, rotation) ^ left
        left = left + keys[(group + 1) % 3]
        right = right + (keys[(group + 2) % 3] + _uint32(group + 1))
    return left ^ right


def _rotate_left(bits: Tensor, by: int) -> Tensor:
    ops = keras.ops
    return ops.bitwise_left_shift(bits, _uint32(by)) | ops.bitwise_right_shift(bits, _uint32(32 - by))


def _uint32(value: int) -> Tensor:
    return keras.ops.convert_to_tensor(value, "uint32")
