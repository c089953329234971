"""The named formats of the schema: what a value of each looks like.

Patterns and texts from pve-common's JSONSchema module and qemu-server; formats that are property strings of their own (boot order,
ipconfig, cicustom, CPU model) are not spelled out in the schema and stand here in its own notation. A format that is not here is answered
with 501, so that no test passes on a value that nothing has looked at.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.fakes.proxmox.replies import not_modelled


class FormatFaultError(Exception):
    """A value that is not of its format; the text is the server's."""


def _matching(pattern: str, told: str) -> Callable[[str], None]:
    def check(value: str) -> None:
        if not re.fullmatch(pattern, value, re.ASCII):
            raise FormatFaultError(told.replace("VALUE", value))

    return check


def _id(kind: str) -> Callable[[str], None]:
    def check(value: str) -> None:
        if len(value) < 2:
            raise FormatFaultError(f"{kind} ID '{value}' cannot be shorter than 2 characters")
        _matching(r"[A-Za-z][A-Za-z0-9\-_.]*[A-Za-z0-9]", f"{kind} ID 'VALUE' contains illegal characters")(value)

    return check


def _address(version: int | None, *, prefix: bool, told: str) -> Callable[[str], None]:
    def check(value: str) -> None:
        try:
            found = ipaddress.ip_interface(value) if prefix else ipaddress.ip_address(value)
        except ValueError:
            raise FormatFaultError(told) from None
        if (version and found.version != version) or (prefix and not re.search(r"/([89]|[1-9]\d+)$", value)):
            raise FormatFaultError(told)

    return check


def _either(*checks: Callable[[str], None], told: str) -> Callable[[str], None]:
    def check(value: str) -> None:
        for one in checks:
            try:
                return one(value)
            except FormatFaultError:
                continue
        raise FormatFaultError(told.replace("VALUE", value))

    return check


_VOLUME = _matching(r"[A-Za-z][A-Za-z0-9\-_.]*[A-Za-z0-9]:.+", "unable to parse volume ID 'VALUE'")
_PATH = _matching(r"/.*", "no path")
_DNS_LABEL = r"[a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?"
_CIDR4 = _address(4, prefix=True, told="value does not look like a valid IPv4 CIDR network")
_CIDR6 = _address(6, prefix=True, told="value does not look like a valid IPv6 CIDR network")
_IP4 = _address(4, prefix=False, told="value does not look like a valid IPv4 address")
_IP6 = _address(6, prefix=False, told="value does not look like a valid IPv6 address")
_DNS = _matching(rf"({_DNS_LABEL}\.)*{_DNS_LABEL}", "value does not look like a valid DNS name")

_CHECKS: Mapping[str, Callable[[str], None]] = {
    "string": lambda _value: None,
    "CIDR": _either(_CIDR4, _CIDR6, told="value does not look like a valid CIDR network"),
    "address": _either(_IP4, _IP6, _DNS, told="value does not look like a valid address: VALUE"),
    "disk-size": _matching(r"\d+(\.\d+)?([KMGT](iB)?)?", "value does not look like a valid disk size: VALUE"),
    "dns-name": _DNS,
    "ipv4": _IP4,
    "ipv6": _IP6,
    "mac-addr": _matching(r"[a-fA-F0-9][02468aceACE](:[a-fA-F0-9]{2}){5}", "value does not look like a valid unicast MAC address"),
    "pve-bridge-id": _matching(r"[-_.\w]+", "invalid bridge ID 'VALUE'"),
    "pve-configid": _matching(r"[a-zA-Z][a-zA-Z0-9_-]+", "invalid configuration ID 'VALUE'"),
    "pve-hotplug-features": _matching(
        r"[01]|(network|disk|cpu|memory|usb|cloudinit)(,(network|disk|cpu|memory|usb|cloudinit))*", "unable to parse hotplug option"
    ),
    "pve-ipv4-config": _either(_matching("dhcp|manual", ""), _CIDR4, told="value does not look like a valid ipv4 network configuration"),
    "pve-ipv6-config": _either(_matching("auto|dhcp|manual", ""), _CIDR6, told="value does not look like a valid ipv6 network configuration"),
    "pve-node": _matching(_DNS_LABEL, "value does not look like a valid node name"),
    "pve-poolid": _matching(r"[A-Za-z0-9_\-./]+", "value does not look like a valid pool ID"),
    "pve-qm-bootdev": _matching(r"(ide|sata|scsi|virtio|net|usb|hostpci)\d+", "invalid boot device 'VALUE'"),
    "pve-startup-order": _matching(r"((order=)?\d+|up=\d+|down=\d+)(,((order=)?\d+|up=\d+|down=\d+))*", "unable to parse startup options"),
    "pve-storage-content": _matching(r"[a-z-]+", "invalid content type 'VALUE'"),
    "pve-storage-id": _id("storage"),
    "pve-tag": _matching(r"[A-Za-z0-9_][A-Za-z0-9_\-+.]*", "invalid characters in tag"),
    "pve-task-status-type": _matching("ok|error|warning|unknown", "unknown task status type 'VALUE'"),
    "pve-vmid": _matching(r"[1-9][0-9]{2,8}", "value does not look like a valid VM ID"),
    "pve-volume-id": _VOLUME,
    "pve-volume-id-or-absolute-path": _either(_PATH, _VOLUME, told="unable to parse volume ID 'VALUE'"),
    "pve-volume-id-or-qm-path": _either(_matching("none|cdrom", ""), _PATH, _VOLUME, told="unable to parse volume ID 'VALUE'"),
    "urlencoded": _matching(r"[-%a-zA-Z0-9_.!~*'()]*", "invalid urlencoded string: VALUE"),
}


def _text(fmt: str | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "string", "optional": 1, **({"format": fmt} if fmt else {}), **more}


_PROPERTIES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "pve-qm-boot": {"legacy": _text(default_key=1, pattern="[acdn]{1,4}"), "order": _text("pve-qm-bootdev-list")},
    "pve-qm-cicustom": {key: _text("pve-volume-id") for key in ("meta", "network", "user", "vendor")},
    "pve-qm-ipconfig": {
        "ip": _text("pve-ipv4-config"),
        "gw": _text("ipv4", requires="ip"),
        "ip6": _text("pve-ipv6-config"),
        "gw6": _text("ipv6", requires="ip6"),
    },
    "pve-vm-cpu-conf": {"cputype": _text(default_key=1, pattern=r"[A-Za-z0-9][A-Za-z0-9._-]*"), "flags": _text()},
}


def named_properties(name: str) -> Mapping[str, Mapping[str, Any]] | None:
    """Return the keys of a named property string; None if the format is none."""
    return _PROPERTIES.get(name)


def split_list(text: str) -> list[str]:
    """Split as Proxmox VE splits every list: at commas, semicolons and blanks."""
    return [part for part in re.split(r"[\s,;\0]+", text) if part]


def check_named(name: str, value: str) -> None:
    """Raise with the server's text where a value is not of the named format."""
    base, many = re.sub(r"-(list|opt)$", "", name), name.endswith("-list")
    if base not in _CHECKS:
        raise not_modelled(f"format {name}")
    if name.endswith("-opt") and not value:
        return
    for one in split_list(value) if many else [value]:
        _CHECKS[base](one)
