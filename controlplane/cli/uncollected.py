"""Leave the search for garbage out while much is read at once and nothing of it is thrown away."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Switch the cyclic garbage collector off for the block.

    Evidence of fifty hosts becomes 100,000 objects without a circle among them; looking through them again and again takes a quarter of the time.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            # What was read stays until the command ends: the first collection after this must not look through it either.
            gc.freeze()
            gc.enable()
