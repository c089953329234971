"""Markdown for reviewers. Names and reasons are data; what Markdown would read as syntax is escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SYNTAX = re.compile(r"([\\`*_{}\[\]<>#|!~&])")
# What Markdown takes for a list, a heading's underline or a rule where a line begins with it.
_LEADING = re.compile(r"^(?:[-+=]|\d+[.)])")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table, or the word None where it has no row."""
    if not rows:
        return ["None.", ""]
    body = [f"| {' | '.join(plain(cell) or '-' for cell in row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", f"|{'|'.join(' --- ' for _ in head)}|", *body, ""]


def plain(text: str) -> str:
    """Return text as one line that shows as it is."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return _LEADING.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", _SYNTAX.sub(r"\\\1", " ".join(shown.split())))


def yes(value: bool) -> str:
    """Return the word for it."""
    return "yes" if value else "no"


def seconds(downtime: dict[str, float]) -> str:
    """Return downtimes by container."""
    return ", ".join(f"{name} {missed:.1f} s" for name, missed in sorted(downtime.items()))
