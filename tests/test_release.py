"""What a release says of itself: one version, in the package, the changelog and the citation."""

import re
import tomllib
from pathlib import Path

import tfp_bnn as bnn
from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

ROOT = Path(__file__).parents[1]


def test_the_version_is_one():
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == bnn.__version__
    assert re.search(r"^version: (\S+)", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1] == bnn.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "tfp_bnn.__version__"}
