"""Amounts as people read them; never parsed back."""

from __future__ import annotations

from datetime import timedelta

_UNITS = ((1000**4, "TB"), (1000**3, "GB"), (1000**2, "MB"), (1000, "kB"))


def show_bytes(count: int) -> str:
    """Return bytes in decimal units with one digit, such as `16.4 GB`."""
    for factor, unit in _UNITS:
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def counted(number: int, what: str) -> str:
    """Return a number of things, each a `what`, such as `1 stack` or `2 stacks`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def show_age(age: timedelta) -> str:
    """Return a duration in its one or two largest units, such as `3 d 4 h`."""
    seconds = int(age.total_seconds())
    parts = [(seconds // 86400, "d"), (seconds % 86400 // 3600, "h"), (seconds % 3600 // 60, "min"), (seconds % 60, "s")]
    first = next((index for index, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count) or "0 s"
