"""Look at the bare directory beneath a mount, or set its flag, in a process of its own: a mount namespace can't be left."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from . import command


def beneath(action: str, path: str) -> dict[str, Any]:
    """Carry out the verb `bare` and return its answer. Raises OSError with its own words, without their end: the caller knows what was changed."""
    argv = [sys.executable, "-I", "-S", "-X", "utf8", str(Path(__file__).parent), "bare", action, path]
    code, out, err = command.run(argv)
    if code != 0:
        said = re.sub(r"[.\s]*(Nothing was changed)?[.\s]*$", "", err)
        raise OSError(said or f"what lies beneath {path} can't be seen ({code})")
    return dict(json.loads(out))
