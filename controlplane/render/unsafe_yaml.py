"""Data for Ansible that Ansible can never take for a template: JSON syntax, the whole of it tagged `!unsafe`.

Inventory and extra-var strings with Jinja in them run on the controller; strings below this tag do not. The tag stands once, at the top: Ansible
resolves a tagged scalar again as if it were plain, so that a serial `"0123"` with a tag of its own would arrive as a number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

# Beyond ASCII: what YAML 1.2 calls printable, less its line breaks and the byte order mark.
_PRINTABLE = re.compile("[\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def dump_unsafe(data: Any) -> bytes:
    """Return a mapping or list as YAML in flow style. Raises TypeError for anything else, and for what has no JSON form."""
    if isinstance(data, str) or not isinstance(data, (Mapping, Sequence)):
        raise TypeError("variables are a mapping or a list, not a scalar")
    return f"!unsafe {_emit(data, 0)}\n".encode()


def _emit(data: Any, depth: int) -> str:
    pad, end = "  " * (depth + 1), "  " * depth
    if data is None or isinstance(data, (bool, int, float)):
        return json.dumps(data, allow_nan=False)
    if isinstance(data, str):
        return _quoted(data)
    if isinstance(data, Mapping):
        rows = [f"{pad}{_quoted(str(key))}: {_emit(value, depth + 1)}" for key, value in sorted(data.items())]
        return "{\n" + ",\n".join(rows) + "\n" + end + "}" if rows else "{}"
    if isinstance(data, Sequence):
        rows = [f"{pad}{_emit(value, depth + 1)}" for value in data]
        return "[\n" + ",\n".join(rows) + "\n" + end + "]" if rows else "[]"
    raise TypeError(f"no JSON form: {type(data).__name__}")


def _quoted(text: str) -> str:
    # YAML reads JSON's \\u escapes of surrogate pairs as two characters, so what is printable stays as it is and the rest is escaped YAML's way.
    return "".join(
        letter if letter.isascii() or _PRINTABLE.match(letter) else _escape(letter) for letter in json.dumps(text, ensure_ascii=False)
    ).replace("\x7f", "\\x7f")


def _escape(letter: str) -> str:
    return f"\\U{ord(letter):08x}"
