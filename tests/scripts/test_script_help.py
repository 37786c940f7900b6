"""Each file in scripts/ is a command that explains itself; what commands share lies in packages below."""

import importlib

import pytest

from tests.scripts.script_runs import SCRIPTS

pytestmark = pytest.mark.jax_if_thorough

COMMANDS = sorted(path.stem for path in SCRIPTS.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_explains_itself(name, monkeypatch, capsys):
    command = importlib.import_module(f"scripts.{name}")
    monkeypatch.setattr("sys.argv", [f"{name}.py", "--help"])
    monkeypatch.setenv("COLUMNS", "200")  # argparse wraps no line then
    with pytest.raises(SystemExit) as stopped:
        command.parse_arguments()
    assert stopped.value.code == 0
    explained = capsys.readouterr().out
    assert command.__doc__.split("\n", 1)[0] in explained
    assert "--help" in explained
    assert callable(command.main)


def test_the_page_of_commands_has_a_line_for_each():
    lines = (SCRIPTS / "README.md").read_text().splitlines()
    named = [line.split("`")[1] for line in lines if line.startswith("| `")]
    assert named == [f"{name}.py" for name in COMMANDS]


def test_a_file_that_is_run_is_a_command():
    for name in COMMANDS:
        assert 'if __name__ == "__main__":\n' in (SCRIPTS / f"{name}.py").read_text()
