"""A planted fault: the edit that plants it, and the tests that are to find it."""

import dataclasses
import functools
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault, the edit that plants it, and the tests (pytest node ids) of which at least one must turn red.

    `old` occurs once in `file`, a path below tfp_bnn/, or one that begins with scripts/; `new` takes its place. `also`
    has more such pairs, for faults that one edit cannot plant.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    also: tuple[tuple[str, str], ...] = ()

    @property
    def path(self) -> str:
        """The path of the file, below the repository."""
        return self.file if self.file.startswith("scripts/") else f"tfp_bnn/{self.file}"

    def plant_in(self, source: str) -> str:
        """Returns the source with the fault; raises ValueError unless each text to replace occurs exactly once."""
        for old, new in ((self.old, self.new), *self.also):
            if source.count(old) != 1:
                raise ValueError(f"{self.name}: occurs {source.count(old)} times in {self.file}, not once: {old!r}")
            source = source.replace(old, new)
        return source


@functools.cache
def path_of(name: str) -> str:
    """Returns the path, below the repository, of the test file of a name, which no two folders of tests may share."""
    found = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob(f"test_{name}.py")]
    if len(found) != 1:
        raise ValueError(f"one file below tests must be named test_{name}.py. Received: {found}")
    return found[0]


def in_file(name: str, *tests: str) -> tuple[str, ...]:
    """Returns the node ids of tests of one file."""
    return tuple(f"{path_of(name)}::{test}" for test in tests)


def geometry(case: str, check: str) -> str:
    """Returns the node id of a check of the layers' contract that is made on every geometry."""
    return f"{path_of('layers')}::test_contract_on_every_geometry[{case}-{check}]"


def contract(case: str, check: str) -> str:
    """Returns the node id of a check of the layers' contract that is made once for every layer."""
    return f"{path_of('layers')}::test_contract_on_every_layer[{case}-{check}]"
