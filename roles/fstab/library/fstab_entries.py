"""Judge, record and write the entries that a policy wants in fstab, and leave every other byte alone."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from ansible.module_utils import fstab_lines as lines
from ansible.module_utils import fstab_texts as texts
from ansible.module_utils import target_run_fence as fence
from ansible.module_utils import target_run_files as files
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: fstab_entries
short_description: Judge, record and write entries of fstab
description:
  - Works out the file's new text, verifies it with C(findmnt --verify) and, for C(state=written), puts it in place with one rename.
  - Faults that the file had before are reported; only a new one, or any of the entries' own, makes it fail.
options:
  entries: {description: "spec, file, vfstype, options, freq and passno of each", type: list, elements: dict, required: true}
  path: {description: the file, type: str, default: /etc/fstab}
  folder: {description: where the former and the new text are recorded, type: str, required: true}
  state:
    description: C(judged) reads only, C(recorded) puts both texts into the folder, C(written) changes the file.
    type: str
    default: judged
    choices: [judged, recorded, written]
  fence:
    description: Runs a command under the play's lease, as the role target_run gives it; empty in a dry run. C(written) needs it.
    type: list
    elements: str
    default: []
author: controlplane
"""

ENTRY = {
    "spec": {"type": "str", "required": True},
    "file": {"type": "str", "required": True},
    "vfstype": {"type": "str", "required": True},
    "options": {"type": "list", "elements": "str", "required": True},
    "freq": {"type": "int", "default": 0},
    "passno": {"type": "int", "default": 0},
}
# The role makes the folder of an entry before anything is mounted there.
NO_FOLDER_YET = "unreachable on boot required target"


def verified(module, text):
    """Return findmnt's errors about a text, from a copy that nobody else reads."""
    with tempfile.NamedTemporaryFile(prefix="controlplane-fstab-", dir="/run") as copy:
        copy.write(text)
        copy.flush()
        _, out, err = module.run_command(["findmnt", "--verify", "--tab-file", copy.name], environ_update={"LC_ALL": "C"})
    if not out.strip() and not err.strip():
        raise lines.FstabError("findmnt --verify gave no answer")
    return lines.faults(out + "\n" + err)


def record(module, path, before, after, existed):
    """Put both texts into the run's folder, once; a second attempt must find the file as one of them."""
    folder = Path(module.params["folder"])
    meta = folder / "fstab.json"
    if meta.exists():
        known = [(folder / name).read_bytes() for name in ("fstab.before", "fstab.after")]
        if before in known and after == known[1]:
            return False
        text = texts.difference(known[1], before, "recorded", str(path))
        raise lines.FstabError(
            f"{path} was changed by somebody since this run recorded it:\n{text}Undo this run with {folder}/undo, or make the plan again"
        )
    if module.check_mode:
        return True
    files.write(folder / "fstab.before", before, mode=0o600)
    files.write(folder / "fstab.after", after, mode=0o600)
    digests = {"version": 1, "path": str(path), "existed": existed, "before": texts.digest(before), "after": texts.digest(after)}
    files.write(meta, json.dumps(digests, indent=2).encode() + b"\n", mode=0o600)
    return True


def main():
    """Answer the task."""
    module = AnsibleModule(
        argument_spec={
            "entries": {"type": "list", "elements": "dict", "required": True, "options": ENTRY},
            "path": {"type": "str", "default": "/etc/fstab"},
            "folder": {"type": "str", "required": True},
            "state": {"type": "str", "default": "judged", "choices": ["judged", "recorded", "written"]},
            "fence": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    state, path = module.params["state"], Path(os.path.realpath(module.params["path"]))
    try:
        existed = path.exists()
        before = path.read_bytes() if existed else b""
        text = lines.changed(before.decode("utf-8", "surrogateescape"), module.params["entries"])
        after = text.encode("utf-8", "surrogateescape")
        old, new = verified(module, before), verified(module, after)
        ours = {entry["file"] for entry in module.params["entries"]}
        lacking = state != "written" or module.check_mode
        faults = sorted(
            fault for fault in new if (fault not in old or fault[0] in ours) and not (lacking and fault[0] in ours and NO_FOLDER_YET in fault[1])
        )
        if faults and after != before:
            words = "; ".join(f"{target or path}: {text}" for target, text in faults)
            raise lines.FstabError(f"findmnt --verify objects to the new text: {words}")
        changed = after != before
        if state == "recorded":
            changed = record(module, path, before, after, existed) if changed else False
        elif state == "written" and changed and not module.check_mode:
            with fence.held(module):
                files.write(path, after, mode=0o644)
            if path.read_bytes() != after:
                raise lines.FstabError(f"{path} reads back otherwise than it was written")
    except (lines.FstabError, OSError) as error:
        module.fail_json(msg=f"{path}: {error}. Nothing was changed.")
    module.exit_json(
        changed=changed and state != "judged",
        pending=after != before,
        faults=[f"{target or path}: {text}" for target, text in sorted(old) if target not in ours],
        diff=texts.diff(path, before, after) if changed and state == "written" else {},
    )


if __name__ == "__main__":
    main()
