"""The layers in PyTorch: bayesian-torch's and BLiTZ's."""

import abc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.conformance.layer_under_test import (
    DEFAULT,
    GAUSSIAN,
    MIXTURE,
    NUM_INPUTS,
    NUM_OUTPUTS,
    Kl,
    LayerUnderTest,
    Prior,
    Weights,
    inputs_of,
    softplus_inverse,
)


class TorchLayer(LayerUnderTest):
    """What the PyTorch libraries have in common."""

    PRECISIONS = ("autocast to bfloat16", "bfloat16")
    FORMATS = ("state_dict", "whole module")

    @classmethod
    def set_seed(cls, seed: int) -> None:
        """Seeds PyTorch, which is to use one thread: these layers are tiny."""
        import torch

        torch.manual_seed(seed)
        torch.set_num_threads(1)

    @abc.abstractmethod
    def parameters(self) -> Sequence[Any]:
        """Returns mean and rho of the kernel, then of the bias."""

    @staticmethod
    def outputs(result: Any) -> Any:
        """Returns the outputs among what the layer returns."""
        return result

    @abc.abstractmethod
    def collected_kl(self, model: Any) -> Any:
        """Returns the KL divergence of a module that holds the layer."""

    def collector(self, layer: Any) -> Any:
        """Returns a module that holds the layer."""
        import torch

        return torch.nn.Sequential(layer)

    @property
    def bfloat16(self) -> bool:
        """Whether parameters and inputs are bfloat16."""
        return self.dtype == "bfloat16"

    def assign(self, weights: Weights) -> None:
        """Sets mean and rho; PyTorch's kernels are [outputs, inputs, ...]."""
        import torch

        values = (weights[0], softplus_inverse(weights[1]), weights[2], softplus_inverse(weights[3]))
        with torch.no_grad():
            for parameter, value in zip(self.parameters(), values, strict=True):
                moved = np.moveaxis(value, (-1, -2), (0, 1)) if value.ndim > 1 else value
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(moved)))

    def as_torch(self, inputs: np.ndarray) -> Any:
        """Returns inputs with channels first."""
        import torch

        x = torch.from_numpy(np.ascontiguousarray(np.moveaxis(inputs, -1, 1)))
        return x.bfloat16() if self.bfloat16 else x

    def draws(self, inputs: np.ndarray, num_draws: int) -> np.ndarray:
        """Calls the layer for each draw."""
        import torch

        x = self.as_torch(inputs)
        with torch.no_grad():
            return np.moveaxis(torch.stack([self.outputs(self.layer(x)) for _ in range(num_draws)]).numpy(), 2, -1)

    def kl(self, num_draws: int, num_calls: int = 1) -> Kl:
        """Returns what the library collects from a module."""
        import torch

        layer, x = self.layer.bfloat16() if self.bfloat16 else self.layer, self.as_torch(inputs_of(self))
        model = self.collector(layer)

        def one_draw() -> Any:
            for _ in range(num_calls):
                layer(x)
            return self.collected_kl(model)

        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == self.PRECISIONS[0]):
            draws = torch.stack([one_draw() for _ in range(num_draws)])
        return Kl(draws.double().numpy(), str(draws.dtype).removeprefix("torch."))

    def reloaded(self, file_format: str, directory: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Saves the state dict, for another layer to load, or the layer itself."""
        import torch

        path, whole = directory / "model.pt", file_format == "whole module"
        torch.save(self.layer if whole else self.layer.state_dict(), path)
        loaded = torch.load(path, weights_only=not whole)
        if not whole:
            other = self.make(None)
            other.load_state_dict(loaded)
            loaded = other
        return [[p.detach().numpy() for p in layer.parameters()] for layer in (self.layer, loaded)]


class BayesianTorch(TorchLayer):
    """bayesian-torch."""

    PACKAGES = ("bayesian-torch", "torch", "numpy")
    NAMES = ("LinearReparameterization", "LinearFlipout", "Conv2dReparameterization", "Conv2dFlipout")

    def make(self, prior: Prior | None) -> Any:
        """Returns the layer; its prior is given by mean and variance."""
        from bayesian_torch import layers

        arguments = {"prior_mean": prior.loc, "prior_variance": prior.sigma_1**2} if prior else {}
        size = (2,) if self.family == "conv" else ()
        return getattr(layers, self.class_name)(NUM_INPUTS[self.family], NUM_OUTPUTS, *size, **arguments)

    def parameters(self) -> Sequence[Any]:
        """Returns mean and rho of the kernel, then of the bias."""
        kernel = "kernel" if self.family == "conv" else "weight"
        return [getattr(self.layer, f"{name}_{of}") for of in (kernel, "bias") for name in ("mu", "rho")]

    @staticmethod
    def outputs(result: Any) -> Any:
        """The layer returns outputs and KL divergence."""
        return result[0]

    def collected_kl(self, model: Any) -> Any:
        """Calls `get_kl_loss`."""
        from bayesian_torch.models.dnn_to_bnn import get_kl_loss

        return get_kl_loss(model)


class Blitz(TorchLayer):
    """BLiTZ. Its default prior is Gaussian: pi = 1."""

    PACKAGES = ("blitz-bayesian-pytorch", "torch", "numpy")
    NAMES = ("BayesianLinear", "BayesianConv2d")
    PRIOR_NAMES = (DEFAULT, GAUSSIAN, MIXTURE)
    DEFAULT_PRIOR = Prior(0.1)

    def make(self, prior: Prior | None) -> Any:
        """Returns the layer, with a scale mixture or, where that can't be, a distribution as prior."""
        import torch
        from blitz import modules

        arguments: dict[str, Any] = {}
        if prior and prior.pi < 1:
            arguments = {"prior_pi": prior.pi, "prior_sigma_1": prior.sigma_1, "prior_sigma_2": prior.sigma_2}
        elif prior:
            arguments = {"prior_dist": torch.distributions.Normal(prior.loc, prior.sigma_1)}
        size = ((2, 2),) if self.family == "conv" else ()
        return getattr(modules, self.class_name)(NUM_INPUTS[self.family], NUM_OUTPUTS, *size, **arguments)

    def parameters(self) -> Sequence[Any]:
        """Returns mean and rho of the kernel, then of the bias."""
        return [getattr(self.layer, f"{of}_{name}") for of in ("weight", "bias") for name in ("mu", "rho")]

    def collector(self, layer: Any) -> Any:
        """Returns a variational estimator."""
        import torch
        from blitz.utils import variational_estimator

        return variational_estimator(type("Model", (torch.nn.Sequential,), {}))(layer)

    def collected_kl(self, model: Any) -> Any:
        """Calls `nn_kl_divergence`."""
        return model.nn_kl_divergence()
