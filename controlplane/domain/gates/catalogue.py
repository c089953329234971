"""All checks of a site, and what each is about in words: its docstring, or its line in gates.yml."""

from __future__ import annotations

import inspect

from controlplane.domain.checks import CHECKS
from controlplane.domain.gates.values import Gates, SiteCheck


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
        return gates.checks[check].title, (told_of(gates.checks[check]),)
    text = inspect.getdoc(CHECKS[check].questions) or ""
    return CHECKS[check].title, tuple(line for line in text.splitlines() if line)


def told_of(own: SiteCheck) -> str:
    """Return in a line what a check of the site's own judges by."""
    return f"The site's own, {own.file}: a test that fails is DRIFTED, one that could not run is UNKNOWN."
