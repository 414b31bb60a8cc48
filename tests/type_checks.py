"""Checks of annotated types and shapes; jaxtyping's import hook uses this module while tests run.

It is not in `helpers/`, because the hook cannot import a module of a package.
"""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from beartype import beartype


def check_types(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose arguments and results beartype checks.

    beartype prepares the checks at the first call: for all functions this takes seconds in each process, and most tests
    call few functions.
    """
    make_checked = cache(lambda: beartype(function))

    @wraps(function)
    def check(*arguments: Any, **keywords: Any) -> Any:
        return make_checked()(*arguments, **keywords)

    return check
