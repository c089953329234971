"""Keep values of environment files out of what tests and commands say, before it is put on record or shown.

Rules:
- Every value of the file counts, secret or not, and one that is commented out too: a file that says too little of itself must not leak.
- A value of fewer than four characters is no secret, nor is a plain yes or no; hiding them would make every message unreadable. A short one is
  hidden where it stands alone, not within a longer word.
- What was cut or quoted on its way may no longer be the value: texts are hidden before they are cut, and as they look in quotes too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

HIDDEN = "***"
_LEAST, _SHORT = 4, 8
_PLAIN = frozenset(["true", "false", "none", "null"])
_NAME = re.compile(r"[#\s]*(?:export\s+)?[A-Za-z_][A-Za-z0-9_.-]*\s*=")


def values_of(env_text: str) -> tuple[str, ...]:
    """Return what must not be shown of an environment file: each value, with and without its quotes and what may be a comment behind it.

    Of a value over several lines each line is one.
    """
    found = dict.fromkeys(form for line in env_text.splitlines() for form in _forms(line))
    return tuple(sorted((form for form in found if _is_hidden(form)), key=lambda form: (-len(form), form)))


def hide(text: str, values: Sequence[str]) -> str:
    """Return the text with every one of these values covered, the longest first."""
    for value in sorted((one for one in values if _is_hidden(one)), key=len, reverse=True):
        for shown in dict.fromkeys((value, repr(value)[1:-1], json.dumps(value)[1:-1])):
            text = text.replace(shown, HIDDEN) if len(value) >= _SHORT else re.sub(rf"(?<!\w){re.escape(shown)}(?!\w)", HIDDEN, text)
    return text


def _is_hidden(value: str) -> bool:
    return len(value) >= _LEAST and value.lower() not in _PLAIN


def _forms(line: str) -> Iterator[str]:
    # A line may be the middle of a value, whatever it looks like.
    for value in (line.strip(), _NAME.sub("", line, count=1).strip()):
        for text in (value, re.split(r"\s#", value, maxsplit=1)[0].strip()):
            yield text
            yield text.strip("\"'")
            yield from (part.strip("\"'") for part in text.split("\\n"))
