"""All checks of a site, and what each is about in words: its docstring, or its line in gates.yml."""

from __future__ import annotations

import inspect

from controlplane.domain.checks import CHECKS
from controlplane.domain.gates.values import Gates


def known_checks(gates: Gates) -> tuple[str, ...]:
    """Return the ids of this program's checks and of the site's own."""
    return (*CHECKS, *gates.checks)


def gated_checks(gates: Gates) -> tuple[str, ...]:
    """Return the checks that a pack or a mode names, all where none does."""
    named = {check for pack in gates.packs.values() for check in pack.checks} | gates.modes.keys()
    return tuple(check for check in known_checks(gates) if check in named) or known_checks(gates)


def description_of(check: str, gates: Gates) -> tuple[str, tuple[str, ...]]:
    """Return (title, lines of description) of a check that there is."""
    if check in gates.checks:
        own = gates.checks[check]
        return own.title, (f"The site's own, {own.file}: a test that fails is DRIFTED, one that could not run is UNKNOWN.",)
    text = inspect.getdoc(CHECKS[check].questions) or ""
    return CHECKS[check].title, tuple(line for line in text.splitlines() if line)
