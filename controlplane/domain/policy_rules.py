"""Rules over a policy as a whole and against the inventory, on plain data, so that every fault is found at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from controlplane.domain.faults import Place
from controlplane.domain.inventory import TEMPLATE_MARKS, Inventory
from controlplane.domain.layers import Merged, Set, amount, entries, inside, items, layer, merge_groups
from controlplane.domain.placement_rules import Said, disk_faults, mount_faults, mounts_of, placement_faults
from controlplane.domain.policy import Limits

PAIRS = (("root_used_warn", "root_used_fail"), ("disk_used_warn", "disk_used_fail"))


def policy_faults(data: Any, inventory: Inventory | None) -> Iterator[Said]:
    """Yield place and message of every fault that no single field shows.

    Without an inventory the rules over groups and over hosts that it doesn't have are left out.
    """
    yield from template_faults(data, ())
    yield from _waiver_faults(data)
    known = inventory.by_name() if inventory else {}
    if inventory is not None:
        yield from _inventory_faults(data, inventory)
    defaults = layer(inside(data, "defaults"), ("defaults",))
    groups = {name: layer(node, ("groups", name)) for name, node in items(inside(data, "groups"))}
    yield from _order_faults(defaults)
    for found in (defaults, *groups.values()):
        yield from _tier_faults(data, found)
    merged_groups: dict[tuple[str, ...], tuple[Merged, Any]] = {}
    for name, host in items(inside(data, "hosts")):
        at: Place = ("hosts", name)
        member = known[name].groups if name in known else ()
        if member not in merged_groups:
            merged_groups[member] = merge_groups(groups, member)
        from_groups, torn = merged_groups[member]
        own = layer(host, at)
        for key, (one, other) in torn.items():
            if key not in own:
                dotted = ".".join(key)
                yield (*at, *key), f"groups {one} and {other} disagree on {dotted}: set it on the host, or in one of them only"
        merged = {**defaults, **from_groups, **own}
        yield from _host_faults(data, host, at, merged, own, groups_known=inventory is not None or not groups)


def _host_faults(data: Any, host: Any, at: Place, merged: Merged, own: Merged, *, groups_known: bool) -> Iterator[Said]:
    yield from _tier_faults(data, own)
    if any(key[0] == "thresholds" for key in merged):
        yield from _order_faults(merged)
    home = None
    if ("tier",) in merged:
        home = inside(data, "tiers", str(merged["tier",].value), "data")
    elif groups_known and isinstance(host, Mapping):
        yield (*at, "tier"), "is missing: name one of the tiers here, in a group or in the defaults"
    yield from disk_faults(host, at)
    yield from mount_faults(mounts_of(host, at))
    yield from placement_faults(host, at, merged, home)
    yield from _service_faults(host, at)
    if home == "disk" and not inside(host, "disks"):
        yield (*at, "disks"), "is missing: the tier of this host keeps its data on a disk, so declare which one"
    if home == "nfs" and not inside(host, "nfs"):
        yield (*at, "nfs"), "is missing: the tier of this host keeps its data on NFS exports, so declare them"
    if home == "boot" and inside(host, "disks"):
        yield (*at, "disks"), "contradicts the tier of this host, which keeps nothing but its boot disk: change one of them"


def _tier_faults(data: Any, found: Merged) -> Iterator[Said]:
    tier = found.get(("tier",))
    tiers = inside(data, "tiers")
    if tier and isinstance(tier.value, str) and not (isinstance(tiers, Mapping) and tier.value in tiers):
        known = ", ".join(sorted(tiers)) if isinstance(tiers, Mapping) and tiers else "none is declared"
        yield tier.place, f"{tier.value!r} is no tier of this policy: write one of tiers ({known})"


def _order_faults(merged: Merged) -> Iterator[Said]:
    for low, high in PAIRS:
        warn, fail = merged.get(("thresholds", low)), merged.get(("thresholds", high))
        if warn is None and fail is None:
            continue
        program = Limits()
        below = amount(warn.value) if warn else getattr(program, low)
        above = amount(fail.value) if fail else getattr(program, high)
        if isinstance(below, int) and isinstance(above, int) and below >= above:
            # The layer nearest to the host decides; a later one in the file is where the reader looks first.
            place = max((found for found in (warn, fail) if found), key=_nearness).place
            yield place, f"{low} {below}% has to be less than {high} {above}%: lower the warning or raise the failure"


def _nearness(found: Set) -> int:
    return ("defaults", "groups", "hosts").index(str(found.place[0]))


def _service_faults(host: Any, at: Place) -> Iterator[Said]:
    paths: dict[tuple[str, str], Place] = {}
    for name, service in items(inside(host, "services")):
        place = (*at, "services", name)
        if not isinstance(service, Mapping):
            continue
        yield from _one_of(service, ("place", "volume"), place, "where its data lie")
        if isinstance(service.get("auth"), Mapping):
            yield from _one_of(service["auth"], ("password_env", "password_file", "vault"), (*place, "auth"), "where the password is")
        paths[name, str(service.get("data"))] = place
    for kind in ("write_surfaces", "boot_accepted"):
        for number, surface in entries(inside(host, kind)):
            key = (str(inside(surface, "container")), str(inside(surface, "path")))
            if key in paths:
                said = ".".join(str(part) for part in paths[key])
                yield (*at, kind, number), f"{key[1]} of {key[0]} is {said} already: keep one of them"
            paths.setdefault(key, (*at, kind, number))
    projects: dict[str, int] = {}
    for number, stack in entries(inside(host, "stacks")):
        project = inside(stack, "project")
        if isinstance(project, str) and projects.setdefault(project, number) != number:
            yield (*at, "stacks", number, "project"), f"{project!r} is stacks.{projects[project]} already: keep one of them"


def _one_of(node: Mapping[str, Any], keys: tuple[str, ...], place: Place, what: str) -> Iterator[Said]:
    given = [key for key in keys if node.get(key) is not None]
    if len(given) != 1:
        said = "none is given" if not given else f"{' and '.join(given)} are given together"
        yield place, f"{said}: write exactly one of {', '.join(keys)}, it says {what}"


def _waiver_faults(data: Any) -> Iterator[Said]:
    hosts = inside(data, "hosts")
    seen: dict[tuple[Any, Any, Any], int] = {}
    for number, waiver in entries(inside(data, "waivers")):
        host = inside(waiver, "host")
        if isinstance(host, str) and not (isinstance(hosts, Mapping) and host in hosts):
            yield ("waivers", number, "host"), f"{host!r} is no host of this policy: write one of hosts"
        key = (str(inside(waiver, "check")), str(host), str(inside(waiver, "surface")))
        if seen.setdefault(key, number) != number:
            yield ("waivers", number), f"waives the same as waivers.{seen[key]}: keep one of them"


def idle_waivers(data: Any, checks: Sequence[str]) -> Iterator[Said]:
    """Yield each waiver of a check that is none of this program's `checks`: unseen, it would accept nothing."""
    for number, waiver in entries(inside(data, "waivers")):
        check = inside(waiver, "check")
        if isinstance(check, str) and check not in checks:
            told = f"{check} is no check of this program, so nothing would be waived: name one of {', '.join(checks)}. "
            yield ("waivers", number, "check"), f"{told}What a check of the site's own finds is expected by a STOR finding with an open gap"


def _inventory_faults(data: Any, inventory: Inventory) -> Iterator[Said]:
    known = inventory.by_name()
    routes: dict[tuple[str, ...], str] = {}
    missing = 0
    for name, _ in items(inside(data, "hosts")):
        host = known.get(name)
        if host is None:
            missing += 1
            # Looking for a near name is quadratic, so only the first few get a hint.
            near = difflib.get_close_matches(name, known, n=1) if missing <= 10 else []
            hint = f"did you mean {near[0]!r}? Otherwise add" if near else "add"
            yield ("hosts", name), f"is not in the inventory: {hint} it there, or remove it here"
            continue
        first = routes.setdefault(host.route, name)
        if first != name:
            yield ("hosts", name), f"reaches the same machine as {first} ({' '.join(host.route).strip()}): one machine is one host"
    for name, _ in items(inside(data, "groups")):
        if name not in inventory.groups and name != "all":
            yield ("groups", name), "is no group of the inventory: add it there, or remove it here"


def template_faults(node: Any, at: Place) -> Iterator[Said]:
    """Yield every value that Ansible would run as a template."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if type(value) is str:
                if "{" in value and any(mark in value for mark in TEMPLATE_MARKS):
                    yield (*at, key), f"{value!r} holds template marks: what a site says is data, write the value itself"
            elif type(value) in (dict, list):
                yield from template_faults(value, (*at, key))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            if type(value) is str:
                if "{" in value and any(mark in value for mark in TEMPLATE_MARKS):
                    yield (*at, number), f"{value!r} holds template marks: what a site says is data, write the value itself"
            elif type(value) in (dict, list):
                yield from template_faults(value, (*at, number))
