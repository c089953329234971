"""The host's own addresses and default gateways, as the kernel has them, and the nameservers that it asks."""

from __future__ import annotations

import json
from typing import Any

from .supervise import ProbeError
from .tools import slurp_or_none, tool

RESOLV = "/etc/resolv.conf"
# What systemd-resolved is asked at, and where it says whom it asks in turn.
STUBS, UPLINK = ("127.0.0.53", "127.0.0.54"), "/run/systemd/resolve/resolv.conf"


def _ip(*words: str) -> Any:
    code, out, err = tool("ip", "-j", *words)
    if code != 0:
        raise ProbeError(f"ip {' '.join(words)} ended with {code}: {err.strip()[:200]}")
    try:
        return json.loads(out or "[]")
    except ValueError:
        raise ProbeError(f"ip {' '.join(words)} printed no JSON") from None


def network(asked: dict[str, Any], _seen: dict[str, Any]) -> dict[str, Any]:
    """Return the addresses with their prefixes, the default gateways of both families and the nameservers; nothing where nobody asked."""
    if not asked.get("network"):
        return {"addresses": [], "gateways": []}
    links = [link for link in _ip("address", "show") if link.get("ifname") != "lo"]
    found = [f"{one['local']}/{one['prefixlen']}" for link in links for one in link.get("addr_info", []) if one.get("scope") != "link"]
    routes = [route for family in ("-4", "-6") for route in _ip(family, "route", "show", "default")]
    hops = [hop for route in routes for hop in (route, *route.get("nexthops", []))]
    return {"addresses": sorted(found), "gateways": sorted({hop["gateway"] for hop in hops if "gateway" in hop}), "resolver": _resolver()}


def _resolver() -> dict[str, Any]:
    """Return {servers, files, error}: what can't be read of them takes neither addresses nor gateways with it."""
    files = [RESOLV]
    try:
        servers = _servers(slurp_or_none(RESOLV) or "")
        if any(one in STUBS for one in servers):
            text = slurp_or_none(UPLINK)
            if text is None:
                raise ProbeError(f"{RESOLV} names systemd-resolved, and {UPLINK}, where that says whom it asks, is not there")
            files.append(UPLINK)
            servers += _servers(text)
    except (OSError, ProbeError) as error:
        return {"servers": [], "files": files, "error": str(error)}
    return {"servers": servers, "files": files, "error": None}


def _servers(text: str) -> list[str]:
    # As the C library reads it: a keyword counts only where its line begins with it.
    lines = [line.split() for line in text.splitlines() if line.startswith("nameserver")]
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
