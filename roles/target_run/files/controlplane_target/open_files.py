"""Prove that nothing uses a tree any more: no open file, working directory, root or mapping of any process, and no mount in any mount namespace."""

from __future__ import annotations

import time

from . import purge_users


def users_of(tree: str, *, writers_only: bool = False) -> list[str]:
    """Return one sentence for each process or mount that uses something in `tree` (an existing, resolved path); read-only mounts can be left out."""
    return purge_users.look(tree, writers_only=writers_only).told


def wait_until_unused(tree: str, limit_s: float = 10) -> list[str]:
    """Return who still uses the tree after the limit, an empty list as soon as nobody does."""
    end = time.monotonic() + limit_s
    while True:
        users = users_of(tree)
        if not users or time.monotonic() > end:
            return users
        time.sleep(0.2)
