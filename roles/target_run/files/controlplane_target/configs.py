"""Docker's and containerd's configuration as snapshots before and after a move; switching is writing the other side of each."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from . import containerd_toml, daemon_json
from .faults import RefusedFault
from .files import restore, snapshot, text_of
from .root_request import Request

Pair = dict[str, Any]  # {"before": snapshot, "after": snapshot}
_USERINFO = re.compile(r"(?<=://)[^/@\s\"']*@")


def _after(before: dict[str, Any], text: bytes | None) -> dict[str, Any]:
    if text is None:
        return {"path": before["path"], "exists": False}
    mode, uid, gid = (before["mode"], before["uid"], before["gid"]) if before["exists"] else (0o644, 0, 0)
    return {"path": before["path"], "exists": True, "text": base64.b64encode(text).decode(), "mode": mode, "uid": uid, "gid": gid}


def pairs(request: Request) -> list[Pair]:
    """Return each configuration file with its text before and after; files that stay as they are are left out."""
    found = []
    settings = request.settings()
    if settings:
        before = snapshot(Path(daemon_json.PATH))
        found.append({"before": before, "after": _after(before, daemon_json.merged(text_of(before), settings))})
    for move in request.moves:
        if move.kind == "containerd":
            before = snapshot(Path(containerd_toml.PATH))
            found.append({"before": before, "after": _after(before, containerd_toml.with_root(text_of(before), move.destination))})
    return [pair for pair in found if pair["before"] != pair["after"]]


def pairs_back(forward: list[Pair], request: Request) -> list[Pair]:
    """Return the pairs of the reverse move: byte for byte what was, or, in a file that was edited since, only our keys back."""
    found = []
    for pair in forward:
        before = snapshot(Path(pair["after"]["path"]))
        if before == pair["after"]:
            after = pair["before"]
        elif before["path"] == daemon_json.PATH:
            after = _after(before, daemon_json.without_settings(text_of(before), text_of(pair["before"]), request.settings()))
        else:
            after = _after(before, containerd_toml.with_root(text_of(before), containerd_toml.root_of(text_of(pair["before"]))))
        found.append({"before": before, "after": after})
    return found


def switch(held: list[Pair], side: str) -> None:
    """Write each file's `before` or `after`."""
    for pair in held:
        restore(pair[side])


def planned(held: list[Pair]) -> list[dict[str, Any]]:
    """Return [{path, before, after}] for a preview, without what stands before an @ in addresses, such as a proxy's password."""

    def shown(shot: dict[str, Any]) -> str:
        return _USERINFO.sub("***@", (text_of(shot) or b"").decode(errors="replace"))

    return [{"path": pair["after"]["path"], "before": shown(pair["before"]), "after": shown(pair["after"])} for pair in held]


def diffs(shown: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return what `planned` gave as Ansible's `--diff` shows it."""
    return [{"before_header": one["path"], "after_header": one["path"], "before": one["before"], "after": one["after"]} for one in shown]


def faults(held: list[Pair]) -> list[str]:
    """Return what the programs themselves say against the new texts, as far as their versions can judge."""
    found = []
    for pair in held:
        path = Path(pair["after"]["path"])
        if path.is_symlink():
            found.append(f"{path} is a symbolic link, which an atomic write would replace: make it a file")
            continue
        with tempfile.NamedTemporaryFile(dir="/run", prefix="controlplane-", suffix=path.suffix) as draft:
            draft.write(text_of(pair["after"]) or b"")
            draft.flush()
            found += _dockerd_says(draft.name) if str(path) == daemon_json.PATH else _containerd_says(draft.name, text_of(pair["after"]))
    return found


def _said(argv: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"})


def dockerd_validates() -> bool:
    """Return whether this dockerd can judge a configuration without running on it; 20.10 can't."""
    return bool(shutil.which("dockerd")) and "--validate" in _said(["dockerd", "--help"]).stdout


def _dockerd_says(draft: str) -> list[str]:
    if not dockerd_validates():
        return []
    done = _said(["dockerd", "--validate", f"--config-file={draft}"])
    return [] if done.returncode == 0 else [f"dockerd refuses the merged {daemon_json.PATH}: {done.stderr.strip().splitlines()[-1:]}"]


def _containerd_says(draft: str, text: bytes | None) -> list[str]:
    if not shutil.which("containerd"):
        return []
    done = _said(["containerd", "--config", draft, "config", "dump"])
    if done.returncode != 0:
        return [f"containerd refuses the new {containerd_toml.PATH}: {done.stderr.strip()[-200:]}"]
    root = containerd_toml.root_of(text)
    if containerd_toml.root_in_dump(done.stdout) != root:
        return [
            f"containerd reads the root {containerd_toml.root_in_dump(done.stdout)} from the new {containerd_toml.PATH}, not {root}: look at its imports"
        ]
    fixed = sorted(set(re.findall(rf"root_path = [\"'](?!{re.escape(root)})(/[^\"']+)[\"']", done.stdout)))
    return (
        [f"{containerd_toml.PATH} and what it imports fix a plugin's root_path at {', '.join(fixed)}, which would not move: remove it"]
        if fixed
        else []
    )


def refuse_unreadable(path: Path) -> bytes | None:
    """Return a configuration file's text; one that is no plain file is refused."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise RefusedFault(f"{path} is no plain file. Nothing was changed. Make it one.")
    return path.read_bytes() if path.exists() else None


def on_disk(pair: Pair) -> dict[str, Any]:
    """Return the snapshot of the pair's file as it is now."""
    return snapshot(Path(pair["after"]["path"]))
