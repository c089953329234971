"""How much work something is, counted and not timed: what else a machine does changes no count."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def calls(work: Callable[[], object]) -> int:
    """Return how many functions, Python's and C's, were called for it.

    Operators call none (`x in a_list` is one bytecode): what such a loop costs shows in `bench/growth.py`.
    """
    count = 0

    def called(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count
