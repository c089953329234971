"""The command line: each module of this package is one verb group."""

from __future__ import annotations

from controlplane.cli.app import main

__all__ = ["main"]
