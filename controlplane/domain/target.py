"""A machine that is named on the command line instead of in a site: `[user@]address` or `local`."""

from __future__ import annotations

import re

from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.inventory import InventoryHost

_TARGET = re.compile(
    r"(?:(?P<user>[A-Za-z_][A-Za-z0-9_.-]{0,63})@)?(?P<address>[A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[?[0-9A-Fa-f:]{2,45}\]?)(?::(?P<port>[0-9]{1,5}))?"
)


def target_host(text: str) -> InventoryHost:
    """Return how to reach the target. Raises `InputInvalidError`; a login other than root goes through sudo."""
    if text == "local":
        return InventoryHost(name="local", variables={"ansible_connection": "local"})
    found = _TARGET.fullmatch(text)
    if found is None:
        raise InputInvalidError([Fault("command line", 0, "--target", f"{text!r} is no target: write [user@]address[:port], or local")])
    user, address = found["user"], found["address"].strip("[]")
    variables: dict[str, str | int | bool] = {"ansible_host": address}
    if user is not None:
        variables["ansible_user"] = user
    if user not in (None, "root"):
        variables["ansible_become"] = True
    if found["port"] is not None:
        variables["ansible_port"] = int(found["port"])
    return InventoryHost(name=re.sub(r"[^a-z0-9._-]", "-", address.lower()).strip("-._") or "target", variables=variables)
