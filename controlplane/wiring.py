"""The only place where adapters are constructed; each is imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controlplane.adapters.lab.lab import Lab


def lab() -> Lab:
    """Return the lab of machines on this host."""
    from controlplane.adapters.lab import open_lab  # noqa: PLC0415 - a verb that isn't called costs nothing

    return open_lab()
