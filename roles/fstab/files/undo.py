#!/usr/bin/python3
"""Put fstab and guards of units back as they were before the run, byte for byte, and clear flags that it set. Nothing is unmounted.

Needs nothing but this folder. Exit codes: 0 done or nothing left to do, 4 refused and nothing was changed, 1 failed.
"""

from __future__ import annotations

import argparse
import array
import base64
import difflib
import fcntl
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLS = HERE / "controlplane_target"
GET_FLAGS, SET_FLAGS, IMMUTABLE = 0x80086601, 0x40086602, 0x10
# The same as in fstab_texts.py, for where the tools are gone: this needs nothing but the records.
_NAME = r"(?:pass|pw|secret|token|key|auth|user|login|command)[\w.-]*"
_ASSIGNED = re.compile(rf"(?im)({_NAME}[\"']?[ \t]*=[ \t]*)\S.*$")
_IN_COMMENT = re.compile(rf"(?im)^([-+ ]?[ \t]*#.*?{_NAME}.*?[=:][ \t]*)\S.*$")
_USERINFO = re.compile(r"(?<=//)\S*@|(?<=#)\S*:\S*@|[^\s/#]+:[^\s/]*@")


def finish(code: int, changed: bool, message: str) -> None:
    """Print the answer and end."""
    print(json.dumps({"changed": changed, "message": message}))
    print(message, file=sys.stderr)
    sys.exit(code)


def read(path: Path) -> bytes | None:
    """Return a file's bytes, None if there is none."""
    return path.read_bytes() if path.exists() else None


def without_secrets(text: str) -> str:
    """Return a text of fstab, or a difference of two, without what can be a password or a user's name; a path to credentials stays."""
    for pattern in (_IN_COMMENT, _ASSIGNED):
        text = pattern.sub(r"\g<1>***", text)
    return _USERINFO.sub("***@", text)


def put_back(path: Path, text: bytes | None) -> None:
    """Make a file what it was, with one rename, durably."""
    if text is None:
        path.unlink(missing_ok=True)
    else:
        like = path.stat() if path.exists() else None
        for left in path.parent.glob(f".{path.name}.controlplane-*"):
            left.unlink()  # by a run that was killed between writing and renaming
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.controlplane-", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            os.fchown(file.fileno(), like.st_uid if like else 0, like.st_gid if like else 0)
            os.fchmod(file.fileno(), like.st_mode & 0o7777 if like else 0o644)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(handle)
    os.close(handle)


def refuse_stranger(path: Path, now: bytes | None, written: bytes | None) -> None:
    """End with the difference, without secrets, where a file is neither what the run wrote nor what stood there before."""
    texts = [re.findall(r"[^\n]*\n|[^\n]+", (text or b"").decode("utf-8", "replace")) for text in (written, now)]
    lines = difflib.unified_diff(*texts, fromfile=f"{path} as the run wrote it", tofile=f"{path} now") if written is not None else ()
    # What is said here ends up in a receipt.
    shown = without_secrets("".join(line if line.endswith("\n") else f"{line}\n" for line in lines))
    finish(
        4,
        False,
        f"{path} was changed by somebody since this run wrote it. Nothing was changed.\n{shown}Take those changes back, or mend the file by hand.",
    )


def fstab() -> list[tuple[Path, bytes | None]]:
    """Return what of fstab is to be put back."""
    if not (HERE / "fstab.json").exists():
        return []
    record = json.loads((HERE / "fstab.json").read_text())
    path, before, after = Path(record["path"]), (HERE / "fstab.before").read_bytes(), (HERE / "fstab.after").read_bytes()
    now, was = read(path), before if record["existed"] else None
    if now == was:
        return []
    if now != after:
        refuse_stranger(path, now, after)
    return [(path, was)]


def guards() -> list[tuple[Path, bytes | None]]:
    """Return which guards are to be put back."""
    found: list[tuple[Path, bytes | None]] = []
    for place in sorted(HERE.glob("guard-*.json")):
        record = json.loads(place.read_text())
        path = Path(record["path"])
        now, was = read(path), None if record["before"] is None else base64.b64decode(record["before"])
        if now == was or now is None:
            continue  # never written, undone already, or taken away by a break-glass
        if "sha256:" + hashlib.sha256(now).hexdigest() != record["after"]:
            refuse_stranger(path, now, None)
        found.append((path, was))
    return found


def folders() -> list[Path]:
    """Return the empty mountpoints that the run made and on which nothing is mounted."""
    place = HERE / "folders.json"
    made = [Path(name) for name in json.loads(place.read_text())] if place.exists() else []
    return [path for path in made if path.is_dir() and not path.is_mount() and not any(path.iterdir())]


def remove(path: Path) -> None:
    """Remove an immutable empty folder."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    word = array.array("L", [0])
    # A filesystem that knows no flags has none set.
    with suppress(OSError):
        fcntl.ioctl(handle, GET_FLAGS, word)
        word[0] &= ~IMMUTABLE
        fcntl.ioctl(handle, SET_FLAGS, word)
    os.close(handle)
    path.rmdir()


def beneath(action: str, path: str) -> dict:
    """Look at the bare directory under a mount, or clear its immutable flag, with the run's own tools."""
    words = [sys.executable, "-B", str(TOOLS), "bare", action, path]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        why = done.stderr.strip() or f"{words[2]} ended with {done.returncode}. Nothing was changed."
        finish(4 if action == "look" else 1, action != "look", f"{why} By hand: bind the directory above {path} elsewhere, and chattr -i there.")
    return json.loads(done.stdout)


def protected() -> list[str]:
    """Return the mounts beneath which the run made the bare directory immutable, and it still is."""
    place = HERE / "bare.json"
    made = json.loads(place.read_text()) if place.exists() else []
    # One that is gone was writable when it went, and must not keep fstab from being put back.
    return [path for path in made if os.path.lexists(path) and beneath("look", path)["immutable"]]


def note() -> None:
    """Say that this host's storage is changed in this boot, so that the next proof of a reboot comes after it."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    put_back(HERE.parent / "last-change.json", json.dumps({"run": HERE.name, "boot_id": boot, "at": now}).encode() + b"\n")


def under_lease() -> int:
    """Take this host's lease as every run does, undo under it, and give it back; return the exit code."""
    who = ["--run", HERE.name, "--holder", f"root@{socket.gethostname()} (undo)", "--ttl", "600"]
    tool = [sys.executable, "-B", str(TOOLS), "lease"]
    taken = subprocess.run([*tool, "take", *who, "--role", "fstab"], capture_output=True, text=True, check=False)
    if taken.returncode != 0:
        finish(4, False, taken.stderr.strip() or f"{TOOLS} lease take ended with {taken.returncode}. Nothing was changed.")
    who += ["--token", str(json.loads(taken.stdout)["lease"]["token"])]
    try:
        # No other run can take the lease from under it.
        return subprocess.run([*tool, "hold", *who, "--", sys.executable, str(Path(__file__).resolve()), "--leased"], check=False).returncode
    finally:
        subprocess.run([*tool, "release", *who], capture_output=True, check=False)


def undo(check: bool) -> None:
    """Undo what the records say, or say what would be undone."""
    files = [*guards(), *fstab()]
    made, flags = folders(), protected()
    if not check:
        for mount in flags:
            beneath("clear", mount)
        for path, was in files:
            put_back(path, was)
        for place in HERE.glob("guard-*.json"):
            record = json.loads(place.read_text())
            folder = Path(record["path"]).parent
            if not record["had_folder"] and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        for path in made:
            remove(path)
        if files or made or flags:
            note()
        # Always: an undo that was killed right before this has put the files back already.
        if subprocess.run(["systemctl", "daemon-reload"], check=False).returncode != 0:
            finish(1, True, "The files are back, but systemctl daemon-reload failed: run it, or systemd mounts by the old entries.")
    done = [f"put {path} back" if was is not None else f"removed {path}" for path, was in files] + [f"removed {path}" for path in made]
    done += [f"made the directory under the mount {mount} writable again" for mount in flags]
    if not done:
        finish(0, False, "There was nothing left to undo.")
    finish(0, True, ("Would have: " if check else "Done: ") + "; ".join(done) + ". Nothing was unmounted.")


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
