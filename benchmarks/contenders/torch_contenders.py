"""The contenders in PyTorch, which runs eagerly, as its users run it: the plain network, bayesian-torch, BLiTZ."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.contenders.contender import MIXTURE, NUM_EXAMPLES, Contender


class TorchParts:
    """The parts as PyTorch modules."""

    def __init__(self, torch: Any, conv: Callable[..., Any], dense: Callable[..., Any]):
        self.torch, self._conv, self.dense = torch, conv, dense

        class Residual(torch.nn.Module):
            def __init__(self, body: Any, shortcut: Any | None):
                super().__init__()
                self.body, self.shortcut = body, shortcut or torch.nn.Identity()

            def forward(self, x: Any) -> Any:
                return self.body(x) + self.shortcut(x)

        class MeanOverSpace(torch.nn.Module):
            def forward(self, x: Any) -> Any:
                return x.mean(dim=(2, 3))

        self.residual, self.mean_over_space = Residual, MeanOverSpace

    def conv(self, inputs: int, filters: int, size: int, stride: int = 1) -> Any:
        """Returns the convolution."""
        return self._conv(inputs, filters, size, stride=stride, padding=size // 2)

    def batch_norm(self, channels: int) -> Any:
        """Returns a batch normalization."""
        return self.torch.nn.BatchNorm2d(channels)

    def relu(self) -> Any:
        """Returns a ReLU."""
        return self.torch.nn.ReLU()

    def pool(self) -> Any:
        """Returns a 2x2 max-pooling."""
        return self.torch.nn.MaxPool2d(2)

    def flatten(self) -> Any:
        """Returns a flattening."""
        return self.torch.nn.Flatten()

    def sequence(self, *parts: Any) -> Any:
        """Returns the composition."""
        return self.torch.nn.Sequential(*parts)


class TorchContender(Contender):
    """What the contenders in PyTorch share; a subclass makes convolutions and fully connected layers."""

    def layers(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Returns the makers of convolutions and of fully connected layers."""
        raise NotImplementedError

    def kl(self) -> Any:
        """Returns the KL divergence of the model, or 0."""
        raise NotImplementedError

    def wrap(self, model: Any) -> Any:
        """Returns the model as the library wants it."""
        return model

    def prepare(self) -> None:
        """Makes model and optimizer."""
        import torch

        self.torch = torch
        self.model = self.wrap(self.network.make(TorchParts(torch, *self.layers())))
        self.optimizer = torch.optim.Adam(self.model.parameters())

    def train(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> float:
        """Runs the usual loop."""
        start = time.perf_counter()
        x, y = self._images(x), self.torch.from_numpy(y.astype("int64"))
        for first in range(0, len(x), batch_size):
            batch = slice(first, first + batch_size)
            loss = self.torch.nn.functional.cross_entropy(self.model(x[batch]), y[batch]) + self.kl() / NUM_EXAMPLES
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return (time.perf_counter() - start) / math.ceil(len(x) / batch_size)

    def predict(self, x: np.ndarray, num_draws: int) -> None:
        """Calls the model once a draw, on batches of 1,000."""
        x = self._images(x)
        with self.torch.no_grad():
            for start in range(0, len(x), 1000):
                for _ in range(num_draws):
                    self.model(x[start : start + 1000])

    def _images(self, x: np.ndarray) -> Any:
        return self.torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


class DeterministicTorch(TorchContender):
    """The plain network in PyTorch."""

    PACKAGES = ("torch",)

    def layers(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Returns PyTorch's own."""
        import torch

        return torch.nn.Conv2d, torch.nn.Linear

    def kl(self) -> float:
        """Returns 0."""
        return 0.0


class BayesianTorch(TorchContender):
    """bayesian-torch; its prior is Gaussian. The layers return their KL divergence too; it is collected afterwards."""

    PACKAGES = ("bayesian-torch", "torch")

    def layers(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Returns its layers, which are to return their outputs alone."""
        from bayesian_torch import layers

        def outputs_only(layer_class: type) -> type:
            return type("OutputsOnly", (layer_class,), {"forward": lambda s, x: layer_class.forward(s, x, False)})

        return tuple(outputs_only(getattr(layers, family + self.estimator)) for family in ("Conv2d", "Linear"))

    def kl(self) -> Any:
        """Calls `get_kl_loss`."""
        from bayesian_torch.models.dnn_to_bnn import get_kl_loss

        return get_kl_loss(self.model)


class Blitz(TorchContender):
    """BLiTZ, which has reparameterization only."""

    PACKAGES = ("blitz-bayesian-pytorch", "torch")

    def layers(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Returns its layers with the mixture prior, or with the Gaussian one."""
        from blitz import modules

        mixture = MIXTURE if self.mixture else {"pi": 1.0, "sigma_1": 1.0, "sigma_2": 1.0}
        prior = {f"prior_{name}": value for name, value in mixture.items()}

        def conv(inputs: int, filters: int, size: int, **arguments: Any) -> Any:
            return modules.BayesianConv2d(inputs, filters, (size, size), **arguments, **prior)

        return conv, lambda inputs, units: modules.BayesianLinear(inputs, units, **prior)

    def wrap(self, model: Any) -> Any:
        """Returns a variational estimator."""
        from blitz.utils import variational_estimator

        return variational_estimator(type("Model", (self.torch.nn.Sequential,), {}))(model)

    def kl(self) -> Any:
        """Calls `nn_kl_divergence`."""
        return self.model.nn_kl_divergence()
