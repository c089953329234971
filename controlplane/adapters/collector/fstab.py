"""/etc/fstab as it is written, as it reads, and what findmnt says of it."""

from __future__ import annotations

import os
from typing import Any

from .mounts import unescape
from .redact import fstab_without_secrets
from .tools import slurp, tool

FSTAB = "/etc/fstab"


def parse_fstab(text: str) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the decoded entries and the numbers (from 1) of lines that are none, as getmntent(3) reads them."""
    entries, bad = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        fields = line.replace("\t", " ").strip(" \r").split(" ")
        fields = [field for field in fields if field]
        if not fields or fields[0].startswith("#"):
            continue
        try:
            freq, passno = (int(fields[i]) if len(fields) > i else 0 for i in (4, 5))
            entry = {
                "line": number,
                "spec": unescape(fields[0]),
                "file": unescape(fields[1]),
                "vfstype": unescape(fields[2]),
                "options": unescape(fields[3]).split(",") if len(fields) > 3 else ["defaults"],
                "freq": freq,
                "passno": passno,
            }
        except (ValueError, IndexError):
            bad.append(number)
            continue
        if len(fields) > 6 and not fields[6].startswith("#"):
            bad.append(number)
        entries.append(entry)
    return entries, bad


def fstab(_asked: dict[str, Any], _seen: dict[str, Any]) -> dict[str, Any]:
    """Return the table; a host without one has an empty one."""
    try:
        text, mtime = slurp(FSTAB), os.stat(FSTAB).st_mtime
    except FileNotFoundError:
        return {"text": "", "mtime": 0.0, "entries": [], "bad_lines": [], "verify_rc": 0, "verify_output": ""}
    # Read before anything is hidden: what follows a secret in its line is hidden with it.
    entries, bad = parse_fstab(text)
    for entry in entries:
        entry["spec"] = fstab_without_secrets(entry["spec"])
        entry["options"] = fstab_without_secrets(",".join(entry["options"])).split(",")
    code, out, err = tool("findmnt", "--verify")
    return {
        "text": fstab_without_secrets(text),
        "mtime": mtime,
        "entries": entries,
        "bad_lines": bad,
        "verify_rc": code,
        "verify_output": fstab_without_secrets((out + err).strip())[:20000],
    }
