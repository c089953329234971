"""The service image: real Redis and PostgreSQL, and an S3-compatible store, imported without a registry."""

from __future__ import annotations

from .golden import Say
from .home import LabHome, MachineFiles


def ensure_services(home: LabHome, files: MachineFiles, say: Say) -> None:
    """Import the service image into the machine's Docker where it hasn't got it."""
    del home, files, say
