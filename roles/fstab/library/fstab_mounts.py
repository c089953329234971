"""Tell what is mounted where entries of fstab want something, and how systemd understands the entries and guards. Reads only."""

from __future__ import annotations

import re
from pathlib import Path

from ansible.module_utils import fstab_lines as lines
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: fstab_mounts
short_description: Tell what is mounted where entries want something
description:
  - For each entry what is mounted at its mountpoint and whether that is what the entry names; changes nothing.
options:
  entries: {description: spec and file of each (other keys are ignored), type: list, elements: dict, required: true}
author: controlplane
"""


def mounted(path):
    """Return the mount on top at exactly this mountpoint, None if there is none; an automount's own entry counts as none."""
    found = None
    for line in Path("/proc/self/mountinfo").read_bytes().decode("utf-8", "surrogateescape").splitlines():
        head, _, tail = line.partition(" - ")
        if lines.unescape(head.split(" ")[4]) == path:
            kind, source = tail.split(" ")[:2]
            found = {"dev": head.split(" ")[2], "fstype": kind, "source": lines.unescape(source)}
    return found if found and found["fstype"] != "autofs" else None


def uuid_of(module, path):
    """Return the UUID of what is mounted at the path, as findmnt reads it."""
    code, out, _ = module.run_command(["findmnt", "--noheadings", "--raw", "--output", "UUID", "--mountpoint", path], environ_update={"LC_ALL": "C"})
    return out.split()[-1] if code == 0 and out.split() else ""


def unit_of(path):
    """Return the name of the mount unit of a path, as systemd-escape --path does."""
    parts = [
        re.sub(rb"[^A-Za-z0-9:_.]", lambda match: b"\\x%02x" % match[0][0], part.encode("utf-8", "surrogateescape"))
        for part in path.strip("/").split("/")
    ]
    name = b"-".join(parts)
    if name.startswith(b"."):
        name = b"\\x2e" + name[1:]
    return name.decode() + ".mount"


def loaded(module, unit):
    """Say whether systemd has read the unit from the fstab that is there now."""
    command = ["systemctl", "show", "--property", "SourcePath,NeedDaemonReload", unit]
    code, out, err = module.run_command(command, environ_update={"LC_ALL": "C"})
    if code != 0:
        module.fail_json(msg=f"systemctl show {unit} ended with {code}: {err.strip()}")
    return sorted(out.split()) == ["NeedDaemonReload=no", "SourcePath=/etc/fstab"]


def look(module, entry):
    """Return what is at one entry's mountpoint."""
    path, spec = entry["file"], entry["spec"]
    top = mounted(path)
    answer = {"file": path, "spec": spec, "unit": unit_of(path), "mounted": bool(top), "right": False, "what": "", "folder": Path(path).is_dir()}
    answer["loaded"] = loaded(module, answer["unit"])
    answer["start"] = "noauto" not in (entry.get("options") or [])
    if top:
        uuid = uuid_of(module, path)
        answer["what"] = f"{top['source']} ({top['fstype']}{', UUID ' + uuid if uuid else ''})"
        answer["right"] = spec.lower() == f"uuid={uuid}".lower() if spec.startswith("UUID=") else top["source"].rstrip("/") == spec.rstrip("/")
    return answer


def main():
    """Answer the task."""
    module = AnsibleModule(argument_spec={"entries": {"type": "list", "elements": "dict", "required": True}}, supports_check_mode=True)
    try:
        found = [look(module, entry) for entry in module.params["entries"]]
    except OSError as error:
        module.fail_json(msg=f"the mounts can't be read: {error}. Nothing was changed.")
    module.exit_json(changed=False, mounts=found)


if __name__ == "__main__":
    main()
