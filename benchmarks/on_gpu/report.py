"""The file of results, written anew with each one."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from scripts.common import reporting


class Report:
    """A JSON file of results and of what made them, which also a run that is cut short leaves behind.

    Args:
        name: of the file.
        args: the command line's.
        lists: names of the lists of results.
    """

    def __init__(self, name: str, args: argparse.Namespace, *lists: str):
        self._path = Path(args.output_dir) / f"{name}.json"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        cards = [device.device_kind for device in jax.devices()]
        self._content: dict[str, Any] = {**{name: [] for name in lists}, **reporting.provenance(args, cards)}

    def __getitem__(self, name: str) -> Any:
        return self._content[name]

    def add(self, name: str, result: dict[str, Any]) -> None:
        """Adds a result to a list, logs it, and writes the file."""
        self._content[name].append(result)
        reporting.log.info("%s: %s", name, {key: value for key, value in result.items() if not isinstance(value, dict)})
        self.write()

    def set(self, name: str, value: Any) -> None:
        """Sets what is not a list, and writes the file."""
        self._content[name] = value
        self.write()

    def write(self) -> None:
        """Writes the file."""
        reporting.log.setLevel(logging.WARNING)
        reporting.write_json(self._content, self._path)
        reporting.log.setLevel(logging.INFO)


def median(values: Sequence[float]) -> float:
    """Returns the median, with four significant digits."""
    middle = sorted(values)[len(values) // 2]
    return float(f"{middle:.4g}")
