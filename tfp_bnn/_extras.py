"""Packages that not everybody needs: they are imported where they are used, or one error says how to install them."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def needed(*extras: str) -> Iterator[None]:
    """Raises ImportError, which says what to install, if a module is missing within the scope.

    Args:
        *extras: those of pyproject.toml of which any one brings the module.

    Example:

    >>> with needed("data"):
    ...     import no_such_module
    Traceback (most recent call last):
    ImportError: ... pip install "tfp-bnn[data]". Received: No module named 'no_such_module'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        commands = " or ".join(f'pip install "tfp-bnn[{extra}]"' for extra in extras)
        raise ImportError(f"A package that this needs is not installed; run: {commands}. Received: {error}") from error
