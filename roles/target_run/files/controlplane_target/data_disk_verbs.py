"""The verbs of `data-disk`: look, place."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from . import data_disk_look, data_disk_place, data_disk_request
from .state import Home


def act(_home: Home, options: argparse.Namespace) -> dict[str, Any]:
    """Carry out one of the verbs."""
    asked = data_disk_request.parse(options.action, sys.stdin.read())
    if options.action == "look":
        return data_disk_look.look(asked)
    return data_disk_place.place(asked, check=options.check)
