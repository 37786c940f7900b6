"""What an earlier run left is not made again; if other arguments made it, it is not taken for what is asked for."""

import argparse
import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from scripts.common import reporting
from scripts.common.reporting import ScriptError

# Where data and results lie changes no result.
_PLACES = {"data_dir", "output_dir"}


def settings(args: argparse.Namespace, but: Collection[str] = ()) -> dict[str, Any]:
    """Returns the arguments that a result depends on: all but those of these names, as JSON has them."""
    kept = {name: value for name, value in vars(args).items() if name not in _PLACES | set(but)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}


def read_or_make(path: Path, wanted: Mapping[str, Any], make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Returns what a JSON file holds; it is made and written if it is not there.

    Args:
        path: the file.
        wanted: the settings, which the file holds beside the result.
        make: makes the result.

    Raises:
        ScriptError: if the file was made with other settings.
    """
    if not path.exists():
        reporting.write_json({**make(), "settings": wanted}, path)
    content = json.loads(path.read_text())
    made_with = content.pop("settings", {})
    changed = [name for name, value in wanted.items() if made_with.get(name) != value]
    if changed:
        raise ScriptError(
            f"{path} was made with other arguments; name another --output-dir. "
            f"Received: {', '.join(f'{name}={wanted[name]}' for name in changed)}"
        )
    return content
