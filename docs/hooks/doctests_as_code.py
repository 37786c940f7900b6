"""For the reference: the examples in docstrings, which are doctests, become blocks of code instead of quotations."""

from typing import Any

import griffe


class DoctestsAsCode(griffe.Extension):
    """Puts a fence around each doctest of each docstring."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Changes the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(docstring: str) -> str:
    """Returns the docstring with a fence around each doctest, which ends with an empty line."""
    lines: list[str] = []
    inside = False
    for line in [*docstring.splitlines(), ""]:
        begins = line.lstrip().startswith(">>> ") and not inside
        ends = inside and not line.strip()
        if begins or ends:
            lines.append("```pycon" if begins else "```")
            inside = begins
        lines.append(line)
    return "\n".join(lines[:-1])
