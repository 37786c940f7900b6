"""The networks of the benchmarks, described once for all libraries.

A library gives the parts (`conv`, `dense`, `relu` ...) and the two ways to join them, `sequence` and `residual`; a
network is a function of the library.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol


class Parts(Protocol):
    """What a library gives. Convolutions are padded to the inputs' size, divided by the stride."""

    def conv(self, inputs: int, filters: int, size: int, stride: int = 1) -> Any: ...  # noqa: D102
    def dense(self, inputs: int, units: int) -> Any: ...  # noqa: D102
    def batch_norm(self, channels: int) -> Any: ...  # noqa: D102
    def relu(self) -> Any: ...  # noqa: D102
    def pool(self) -> Any: ...  # noqa: D102
    def mean_over_space(self) -> Any: ...  # noqa: D102
    def flatten(self) -> Any: ...  # noqa: D102
    def sequence(self, *parts: Any) -> Any: ...  # noqa: D102
    def residual(self, body: Any, shortcut: Any | None) -> Any: ...  # noqa: D102


class Network(NamedTuple):
    """A network: how it is made of a library's parts, and the shape of one input (height, width, channels)."""

    make: Callable[[Parts], Any]
    input_shape: tuple[int, int, int]


def _lenet5(parts: Parts) -> Any:
    return parts.sequence(
        *(parts.conv(1, 6, 5), parts.relu(), parts.pool()),
        *(parts.conv(6, 16, 5), parts.relu(), parts.pool()),
        *(parts.conv(16, 120, 5), parts.relu(), parts.flatten()),
        *(parts.dense(7 * 7 * 120, 84), parts.relu(), parts.dense(84, 10)),
    )


def _resnet20(parts: Parts) -> Any:
    def normalized(inputs: int, filters: int, size: int, stride: int = 1) -> list[Any]:
        return [parts.conv(inputs, filters, size, stride), parts.batch_norm(filters)]

    def block(inputs: int, filters: int, stride: int) -> list[Any]:
        body = [*normalized(inputs, filters, 3, stride), parts.relu(), *normalized(filters, filters, 3)]
        shortcut = parts.sequence(*normalized(inputs, filters, 1, stride)) if inputs != filters else None
        return [parts.residual(parts.sequence(*body), shortcut), parts.relu()]

    stages = [(16, 16, 1), (16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 32, 1), (32, 64, 2)]
    blocks = [part for stage in [*stages, (64, 64, 1), (64, 64, 1)] for part in block(*stage)]
    stem = [*normalized(3, 16, 3), parts.relu()]
    return parts.sequence(*stem, *blocks, parts.mean_over_space(), parts.dense(64, 10))


def mlp(width: int, depth: int = 2) -> Network:
    """Returns the fully connected network of the paper, for 28x28 images."""

    def make(parts: Parts) -> Any:
        widths = [784, *[width] * depth]
        hidden = [part for pair in itertools.pairwise(widths) for part in (parts.dense(*pair), parts.relu())]
        return parts.sequence(parts.flatten(), *hidden, parts.dense(width, 10))

    return Network(make, (28, 28, 1))


LENET5 = Network(_lenet5, (28, 28, 1))
RESNET20 = Network(_resnet20, (32, 32, 3))
