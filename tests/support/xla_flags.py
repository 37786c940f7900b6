"""How XLA compiles in tests: quickly rather than well, since tests compile for longer than they run."""

import importlib.util
import mmap
from pathlib import Path

UNOPTIMIZED = "--xla_backend_optimization_level=0"
# XLA's older emitters of fused operations, which take half the time to compile.
OLDER_EMITTERS = "--xla_cpu_use_fusion_emitters=false"
# Where the backends keep XLA's flags; a process may compile with both.
LIBRARIES = {"jaxlib": "libjax_common.so", "tensorflow": "libtensorflow_framework.so.2"}


def quick_to_compile():
    """Returns the flags that make XLA compile quickly, as XLA_FLAGS has them."""
    return f"{UNOPTIMIZED} {OLDER_EMITTERS}" if all(map(_knows_older_emitters, LIBRARIES)) else UNOPTIMIZED


def _knows_older_emitters(package):
    # XLA ends a process over a flag that it does not know, and has no way to ask. Its libraries hold the names.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.origin:
        return True
    library = Path(spec.origin).with_name(LIBRARIES[package])
    if not library.is_file():
        return False
    name = OLDER_EMITTERS.removeprefix("--").partition("=")[0].encode()
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(name) >= 0
