"""Copy one tree onto another by rsync, so that nothing that Docker relies on is lost.

Rules:
- `-aHAXSx --numeric-ids --delete`: hard links, ACLs, xattrs (`trusted.overlay.*` among them), holes, owners by number, one filesystem.
- `--modify-window=-1`: without it rsync takes times within one second for equal, and leaves a directory's time as it is.
- A mount below the source that lies on the same filesystem (a volume with o=bind) is left out: `-x` does not see it.
- A filesystem's own `lost+found` is neither copied nor removed. A folder of that name in any other tree is data (lost_found.py).
- While the source is live, vanished files are no fault; the last pass must be perfect.
- Rsync writes nothing in place: a file appears under its name only when it is whole. Large ones are patched in place before it (tree_patch.py).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from . import lost_found
from .faults import FailedFault

ARGUMENTS = ("-aHAXSx", "--numeric-ids", "--modify-window=-1", "--delete")
# 23: partial transfer, 24: files vanished while they were read.
LIVE_CODES = (0, 23, 24)


class Pass(NamedTuple):
    """What one pass did: `files` regular files transferred, `size` their bytes, `code` rsync's exit code."""

    files: int
    size: int
    code: int


def _number(label: str, text: str) -> int:
    found = re.search(rf"^{label}: ([\d,.]+)", text, re.MULTILINE)
    return int(re.sub(r"\D", "", found[1])) if found else 0


def _run(argv: list[str], stdin: bytes | None) -> tuple[int, str, str]:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        try:
            out, errors = process.communicate(stdin or b"")
        except BaseException:
            process.kill()
            raise
    return process.returncode, out.decode(errors="replace"), errors.decode(errors="replace")


def _pattern(relative: str) -> str:
    return re.sub(r"([\\*?\[])", r"\\\1", relative)


def copy_tree(source: str, destination: str, *, live: bool, mounts_below: Sequence[str] = ()) -> Pass:
    """Make `destination` (an existing directory) equal to `source`; `mounts_below` are relative paths whose content is left out."""
    if os.path.realpath(source) == os.path.realpath(destination):
        raise FailedFault(f"{source} would be copied onto itself")
    if found := lost_found.clash(source, destination):
        raise FailedFault(found[0])
    own = [f"--filter={rule} /{lost_found.NAME}" for rule, top in (("H", source), ("P", destination)) if lost_found.is_own(top)]
    hidden = [*own, *(f"--exclude=/{_pattern(relative)}/*" for relative in mounts_below)]
    nice = ["nice", "-n", "10", "ionice", "-c", "2", "-n", "7"] if live else []
    argv = [*nice, "rsync", *ARGUMENTS, *hidden, "--stats", "--no-human-readable", "--", f"{source}/", f"{destination}/"]
    code, out, errors = _run(argv, None)
    if code not in (LIVE_CODES if live else (0,)):
        raise FailedFault(f"rsync from {source} to {destination} ended with {code}: {_tail(errors)}")
    return Pass(_number("Number of regular files transferred", out), _number("Total transferred file size", out), code)


def copy_again(source: str, destination: str, relatives: Sequence[bytes], *, live: bool) -> None:
    """Copy these files even though size and time look equal; all names of a hard-linked file have to be among them."""
    argv = [
        "rsync",
        "-aHAXSx",
        "--numeric-ids",
        "--modify-window=-1",
        "--ignore-times",
        "--from0",
        "--files-from=-",
        "--",
        f"{source}/",
        f"{destination}/",
    ]
    # What begins with # or ; is a comment to rsync in such a list, also in one with --from0.
    named = [b"./" + relative if relative.startswith((b"#", b";")) else relative for relative in relatives]
    code, _, errors = _run(argv, b"\0".join(named))
    if code not in (LIVE_CODES if live else (0,)):
        raise FailedFault(f"rsync of {len(relatives)} changed files from {source} to {destination} ended with {code}: {_tail(errors)}")


def _tail(errors: str) -> str:
    lines = [line for line in errors.splitlines() if line.strip()]
    return "; ".join(lines[-3:]) or "no message"


def sync_filesystem(path: str) -> None:
    """Write the whole filesystem of `path` to its disk; a disk that reports an error is a fault.

    It also write-protects mapped pages again, so that a later store through a mapping moves the file's ctime.
    """
    done = subprocess.run(["sync", "-f", os.fspath(path)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise FailedFault(f"the filesystem of {path} could not be written to its disk: {done.stderr.strip()}")
