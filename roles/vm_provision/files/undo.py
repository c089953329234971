#!/usr/bin/python3
"""Take back the definition of a machine that was never started; refuse everything else and say how it is done by hand. Volumes stay.

Needs nothing but this folder and virsh. Exit codes: 0 done or nothing left to do, 4 refused and nothing was changed, 1 failed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

HERE = Path(__file__).resolve().parent
MACHINE = "https://controlplane.invalid/machine/1"


def finish(code: int, changed: bool, message: str) -> None:
    """Print the answer and end."""
    print(json.dumps({"changed": changed, "message": message}))
    print(message, file=sys.stderr)
    sys.exit(code)


def virsh(uri: str, *words: str) -> str:
    """Return what virsh printed; where it fails, nothing was changed by that."""
    done = subprocess.run(["virsh", "--quiet", "--connect", uri, *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        finish(1, False, f"virsh {words[0]} ended with {done.returncode}: {' '.join(done.stderr.split())}. Nothing was changed.")
    return done.stdout


def lease(action: str) -> None:
    """Take or give back this host's lease, as every run does, so that no other run changes the host at the same time."""
    tools = HERE / "controlplane_target"
    if not tools.is_dir():
        return  # laid down by hand: whoever does that looks after this
    words = ["--run", HERE.name, "--holder", "root (undo)", "--role", "vm_provision", "--ttl", "600"]
    done = subprocess.run([sys.executable, "-B", str(tools), "lease", action, *words], capture_output=True, text=True, check=False)
    if done.returncode != 0 and action == "take":
        finish(4, False, done.stderr.strip() or f"{tools} lease take ended with {done.returncode}. Nothing was changed.")


def objection(record: dict, document: str, state: str) -> str:
    """Return why this machine is not taken back, empty where only its definition by this very run exists."""
    mark = ET.fromstring(document).find(f"./metadata/{{{MACHINE}}}machine")  # noqa: S314 - libvirt's own document, on the host that runs it
    if record["existed"] and (mark is None or mark.get("run") != HERE.name):
        return "was there before this run"
    if mark is None or mark.get("run") != HERE.name:
        return "was not made by this run"
    if mark.get("made") != "no" or mark.get("started") != "no" or state != "shut off":
        return "was started, and may hold data"
    return ""


def undo(check: bool) -> None:
    """Undo what the record says, or say what would be undone."""
    record = json.loads((HERE / "vm_provision.json").read_text())
    name, uri, kept = record["name"], record["uri"], ", ".join(record["volumes"])
    if name not in [line.strip() for line in virsh(uri, "list", "--all", "--name").splitlines()]:
        if not check:
            forget()
        finish(0, False, f"There was nothing left to undo: there is no machine {name}. Its volumes, where they exist, stay: {kept}.")
    why = objection(record, virsh(uri, "dumpxml", "--inactive", name), virsh(uri, "domstate", name).strip())
    if why:
        finish(
            4,
            False,
            f"{name} {why}, so it is not taken back. Nothing was changed. If it is not wanted: back up what it holds, then 'virsh shutdown {name}', "
            f"'virsh undefine {name}', and 'virsh vol-delete' for each of {kept}.",
        )
    if not check:
        virsh(uri, "undefine", name)
        forget()
    finish(
        0, True, f"{'Would have undefined' if check else 'Undefined'} {name}, which was never started. Its volumes, where they exist, stay: {kept}."
    )


def forget() -> None:
    """Remove the private host key of a machine that will never be."""
    for folder in (HERE / "vm_provision", HERE / "vm_provision.new"):
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Undo, holding this host's lease."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what would be undone")
    parser.add_argument("--leased", action="store_true", help="the caller holds the host's lease")
    options = parser.parse_args()
    own = not (options.check or options.leased)
    if own:
        lease("take")
    try:
        undo(options.check)
    finally:
        if own:
            lease("release")


if __name__ == "__main__":
    main()
