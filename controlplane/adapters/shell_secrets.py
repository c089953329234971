"""What of the operator's shell must not be shown by a program that inherits it."""

from __future__ import annotations

import os
import re

_SOUNDS_SECRET = re.compile(r"pass|secret|token|key|auth(?!or)|cred", re.IGNORECASE)


def shell_secrets() -> tuple[str, ...]:
    """Return the values of the variables whose names sound secret."""
    return tuple(value for name, value in os.environ.items() if _SOUNDS_SECRET.search(name))
