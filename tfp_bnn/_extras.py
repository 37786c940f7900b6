"""Packages that not everybody needs: they are imported where they are used, or one error says how to install them."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def needed(extra: str) -> Iterator[None]:
    """Raises ImportError, which says what to install, if a module is missing within the scope.

    Args:
        extra: that of pyproject.toml which brings the module; if there are two, "one,other".

    Example:

    >>> with needed("data"):
    ...     import no_such_module
    Traceback (most recent call last):
    ImportError: This needs a package that is not installed... Received: No module named 'no_such_module'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImportError(
            f'This needs a package that is not installed: run pip install "tfp-bnn[{extra}]". Received: {error}'
        ) from error
