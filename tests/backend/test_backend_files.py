"""The files of the backends: all have the same functions, and nothing else imports a backend."""

import ast
from pathlib import Path

import pytest

from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

PACKAGE = Path(__file__).parents[2] / "tfp_bnn"
FILES = sorted(path for path in (PACKAGE / "_backend").glob("*.py") if path.stem not in ("__init__", "tfp"))
BACKENDS = {path.stem for path in FILES}


def interface(path):
    """Returns the public functions of a file and their signatures, and its public constants, without importing it."""
    found = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = f"({ast.unparse(node.args)}) -> {ast.unparse(node.returns)}"
        elif isinstance(node, ast.Assign):
            found.update({target.id: "constant" for target in node.targets if target.id.isupper()})
    return {name: kind for name, kind in found.items() if not name.startswith("_")}


def exported(path):
    (names,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__"
    )
    return names


def imported(path):
    """Returns the packages that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


def test_all_backends_have_the_same_functions():
    assert len(FILES) >= 2
    assert all(interface(path) == interface(FILES[0]) for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_backend_exports_all_that_is_public(path):
    assert sorted(interface(path)) == exported(path)


def test_nothing_else_imports_a_backend():
    # What checks layers compiles them itself, as a user would.
    others = [path for path in PACKAGE.rglob("*.py") if path.parent.name not in ("_backend", "testing")]
    found = {path.name: sorted(BACKENDS.intersection(imported(path))) for path in others}
    assert [name for name, backends in found.items() if backends] == []
    assert len(found) > 50
