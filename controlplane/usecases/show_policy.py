"""Show what a host is to look like, resolved."""

from __future__ import annotations

import difflib

from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.ports.sites import SiteReader


def show_policy(site: SiteReader, host: str, *, run_inventory: bool) -> tuple[DesiredHost, tuple[str, ...]]:
    """Return the desired state of `host` and notes; InputInvalidError if the policy does not name it."""
    content = site.read(run_inventory=run_inventory)
    known = content.desired().by_name()
    if host in known:
        return known[host], content.notes
    near = difflib.get_close_matches(host, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(list(known)[:20]) or 'none'}"
    raise InputInvalidError([Fault("command line", 0, "--host", f"{host!r} is no host of the policy: {hint}")])
