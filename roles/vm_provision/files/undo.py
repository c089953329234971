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
TOOLS = HERE / "controlplane_target"
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


def under_lease() -> int:
    """Take this host's lease as every run does, undo under it, and give it back; return the exit code."""
    who = ["--run", HERE.name, "--holder", "root (undo)", "--ttl", "600"]
    tool = [sys.executable, "-B", str(TOOLS), "lease"]
    taken = subprocess.run([*tool, "take", *who, "--role", "vm_provision"], capture_output=True, text=True, check=False)
    if taken.returncode != 0:
        finish(4, False, taken.stderr.strip() or f"{TOOLS} lease take ended with {taken.returncode}. Nothing was changed.")
    who += ["--token", str(json.loads(taken.stdout)["lease"]["token"])]
    try:
        # No other run can take the lease from under it.
        return subprocess.run([*tool, "hold", *who, "--", sys.executable, str(Path(__file__).resolve()), "--leased"], check=False).returncode
    finally:
        subprocess.run([*tool, "release", *who], capture_output=True, check=False)


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
    # Without the tools it was laid down by hand: whoever does that looks after the lease.
    if not (options.check or options.leased) and TOOLS.is_dir():
        sys.exit(under_lease())
    undo(options.check)


if __name__ == "__main__":
    main()
