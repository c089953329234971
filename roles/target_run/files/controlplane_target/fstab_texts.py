"""Know a file's text by its digest, and show what changes in it, without the secrets that it may hold.

Rules:
- fstab may hold the password of a share. What is shown goes over the network, into the controller's output and into receipts: no secret is in it.
- The texts in the run's own folder are whole. They are the way back, and root alone reads them.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from pathlib import Path

# What names a secret in options of a mount, and whatever follows it in its line: a password may hold commas and blanks.
_NAME = r"(?:pass|pw|secret|token|key|auth|user|login|command)[\w.-]*"
_ASSIGNED = re.compile(rf"(?im)({_NAME}[\"']?[ \t]*=[ \t]*)\S.*$")
# Comments speak more freely: "the password of the NAS is: …". Elsewhere a colon ends the name of a server.
_IN_COMMENT = re.compile(rf"(?im)^([-+ ]?[ \t]*#.*?{_NAME}.*?[=:][ \t]*)\S.*$")
# //user:password@host, with or without a scheme before it, and program#user:password@host
_USERINFO = re.compile(r"(?<=//)\S*@|(?<=#)\S*:\S*@|[^\s/#]+:[^\s/]*@")


def digest(text: bytes) -> str:
    """Return a text's digest."""
    return "sha256:" + hashlib.sha256(text).hexdigest()


def readable(text: bytes) -> str:
    """Return a text for people and JSON, whatever its bytes are."""
    return text.decode("utf-8", "replace")


def without_secrets(text: str) -> str:
    """Return a text of fstab, or a difference of two, without what can be a password or a user's name; a path to credentials stays."""
    for pattern in (_IN_COMMENT, _ASSIGNED):
        text = pattern.sub(r"\g<1>***", text)
    return _USERINFO.sub("***@", text)


def difference(before: bytes, after: bytes, name: str, other: str) -> str:
    """Return a unified diff without secrets; a line in which only a secret differs is in it, too."""
    old, new = (re.findall(r"[^\n]*\n|[^\n]+", readable(text)) for text in (before, after))
    lines = difflib.unified_diff(old, new, fromfile=name, tofile=other)
    return without_secrets("".join(line if line.endswith("\n") else f"{line}\n" for line in lines))


def diff(path: Path, before: bytes, after: bytes) -> dict[str, str]:
    """Return what `--diff` shows, without secrets."""
    shown = [without_secrets(readable(text)) for text in (before, after)]
    return {"before": shown[0], "after": shown[1], "before_header": str(path), "after_header": str(path)}
