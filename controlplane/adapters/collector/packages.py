"""Debian packages that were asked for: whether dpkg calls them installed, and in which version."""

from __future__ import annotations

import shutil
from typing import Any

from .supervise import Absent, ProbeError
from .tools import tool


def packages(asked: dict[str, Any], _seen: dict[str, Any]) -> dict[str, Any]:
    """Return {name: {status, version}}; a package that dpkg does not know has an empty status. Absent where there is no dpkg."""
    names = asked.get("packages", [])
    if not names:
        return {}
    if shutil.which("dpkg-query") is None:
        raise Absent("this host has no dpkg")
    code, out, err = tool("dpkg-query", "--show", "--showformat=${Package}\\t${db:Status-Abbrev}\\t${Version}\\n", "--", *names)
    # 1 says that it does not know some of them.
    if code not in (0, 1):
        raise ProbeError(f"dpkg-query ended with {code}: {err.strip()[:200]}")
    found: dict[str, Any] = {name: {"status": "", "version": None} for name in names}
    for line in out.splitlines():
        name, status, version = line.split("\t")
        if name in found:
            found[name] = {"status": status.strip(), "version": version or None}
    return found
