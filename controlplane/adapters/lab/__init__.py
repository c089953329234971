"""The lab: machines with real disks on this host, by systemd-nspawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .lab import Lab

__all__ = ["open_lab"]


def open_lab() -> Lab:
    """Return the lab in $CONTROLPLANE_LAB or /var/lib/controlplane-lab; it touches nothing yet."""
    from .home import LabHome  # noqa: PLC0415 - the command line imports this package for every verb
    from .lab import Lab  # noqa: PLC0415 - as above

    return Lab(LabHome.from_environment())
