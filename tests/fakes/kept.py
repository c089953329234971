"""Sites that many tests begin with: brought there once a process, and copied for each test."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def copied_each_time(make: Callable[P, T]) -> Callable[P, T]:
    """Let what a function makes be made once for each of its arguments; whoever calls it gets a copy of its own.

    What the made thing holds has to be copied with it: its own methods are, a closure or lambda goes on speaking of the first one.
    """
    made = cache(make)

    @wraps(make)
    def copied(*args: P.args, **options: P.kwargs) -> T:
        return copy.deepcopy(made(*args, **options))  # type: ignore[arg-type]  # what is no key of a cache fails by itself

    return copied
