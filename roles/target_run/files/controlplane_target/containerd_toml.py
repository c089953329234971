"""containerd's `root` in /etc/containerd/config.toml, and the paths below it; everything else byte for byte as it was.

Python 3.9 has no TOML reader, so what is not plainly understood is refused; containerd's own `config dump` judges the result before it is used.
"""

from __future__ import annotations

import re

from .faults import RefusedFault

PATH = "/etc/containerd/config.toml"
DEFAULT_ROOT = "/var/lib/containerd"
_TABLE = re.compile(rb"^[ \t]*\[", re.MULTILINE)
_ROOT = re.compile(rb"^[ \t]*(?:root|\"root\"|'root')[ \t]*=[ \t]*(.*?)[ \t]*\r?$", re.MULTILINE)
_PLAIN = re.compile(rb"""(?:"([^"\\]*)"|'([^']*)')[ \t]*(?:#.*)?""")


def _head(text: bytes) -> bytes:
    if b'"""' in text or b"'''" in text:
        raise RefusedFault(f"{PATH} holds multi-line strings, which are not read here. Nothing was changed. Write them on one line.")
    table = _TABLE.search(text)
    return text[: table.start()] if table else text


def root_of(text: bytes | None) -> str:
    """Return the root that this text gives containerd (its default where it names none)."""
    if text is None:
        return DEFAULT_ROOT
    found = list(_ROOT.finditer(_head(text)))
    if not found:
        return DEFAULT_ROOT
    if len(found) > 1:
        raise RefusedFault(f"{PATH} sets root {len(found)} times. Nothing was changed. Leave one of them.")
    value = _PLAIN.fullmatch(found[0][1])
    if value is None:
        raise RefusedFault(
            f"{PATH} sets root to {found[0][1].decode(errors='replace')}, which is no plain string. Nothing was changed. Write it as one."
        )
    return (value[1] or value[2] or b"").decode() or DEFAULT_ROOT


def with_root(text: bytes | None, root: str) -> bytes:
    """Return the text with `root` set at the top level, and strings below the old root (Debian's `opt` path) moved along; the same bytes where it is so already."""
    if '"' in root or "\\" in root or any(ord(letter) < 32 for letter in root):
        raise RefusedFault(f"{root!r} can't be written as a plain TOML string. Nothing was changed. Choose another path.")
    line = b'root = "' + root.encode() + b'"'
    if text is None:
        return b"version = 2\n" + line + b"\n"
    if root_of(text) == root and _ROOT.search(_head(text)):
        return text
    old = root_of(text).encode()
    for quote in (b'"', b"'"):
        text = text.replace(quote + old + b"/", quote + root.encode() + b"/")
    head = _head(text)
    found = _ROOT.search(head)
    if found:
        return text[: found.start()] + line + text[found.end() :]
    if head and not head.endswith(b"\n"):
        head += b"\n"
    return head + line + b"\n" + text[len(_head(text)) :]


def root_in_dump(dump: str) -> str | None:
    """Return the root that `containerd config dump` prints, None where it prints none."""
    for line in dump.splitlines():
        if line.startswith("["):
            return None
        name, _, value = line.partition("=")
        if name.strip() == "root":
            return value.strip().strip("'\"")
    return None
