"""The verbs of `fstab`: look, record, write, break-glass."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from . import fstab_request as request
from .state import Home


def act(home: Home, options: argparse.Namespace) -> dict[str, Any]:
    """Carry out one of the verbs."""
    run, asked = home.run(options.run), sys.stdin.read()
    if options.action == "look":
        from . import fstab_look  # noqa: PLC0415 - each of them alone: a slow machine feels every import

        return fstab_look.look(run, request.look(asked))
    if options.action == "record":
        from . import fstab_record  # noqa: PLC0415

        return fstab_record.record(run, request.record(asked), check=options.check)
    if options.action == "write":
        from . import fstab_write  # noqa: PLC0415

        return fstab_write.write(run, request.write(asked), check=options.check)
    from . import fstab_break_glass  # noqa: PLC0415

    return fstab_break_glass.break_glass(run, request.break_glass(asked), check=options.check)
