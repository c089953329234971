"""The host's own addresses and default gateways, as the kernel has them."""

from __future__ import annotations

import json
from typing import Any

from .supervise import ProbeError
from .tools import tool


def _ip(*words: str) -> Any:
    code, out, err = tool("ip", "-j", *words)
    if code != 0:
        raise ProbeError(f"ip {' '.join(words)} ended with {code}: {err.strip()[:200]}")
    try:
        return json.loads(out or "[]")
    except ValueError:
        raise ProbeError(f"ip {' '.join(words)} printed no JSON") from None


def network(asked: dict[str, Any], _seen: dict[str, Any]) -> dict[str, Any]:
    """Return the addresses with their prefixes and the default gateways of both families; nothing where nobody asked."""
    if not asked.get("network"):
        return {"addresses": [], "gateways": []}
    links = [link for link in _ip("address", "show") if link.get("ifname") != "lo"]
    found = [f"{one['local']}/{one['prefixlen']}" for link in links for one in link.get("addr_info", []) if one.get("scope") != "link"]
    routes = [route for family in ("-4", "-6") for route in _ip(family, "route", "show", "default")]
    hops = [hop for route in routes for hop in (route, *route.get("nexthops", []))]
    return {"addresses": sorted(found), "gateways": sorted({hop["gateway"] for hop in hops if "gateway" in hop})}
