"""A host on which a part of a volume, or of a directory, was moved out, with its records and a Docker that tells who mounts what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from controlplane_target import purge, retired
from controlplane_target.state import Home

NOW = 1_767_225_600.0
WEEK = 7 * 86400


class Docker:
    """An engine with these volumes, by name where each lies or Docker's whole answer, and these containers."""

    def __init__(self, volumes: dict[str, str | dict[str, Any]] | None = None, *containers: dict[str, Any]) -> None:
        self.volumes = {name: seen if isinstance(seen, dict) else {"Mountpoint": seen} for name, seen in (volumes or {}).items()}
        self.held, self.gone = list(containers), list[str]()

    def call(self, method: str, target: str, **_: Any) -> tuple[int, Any]:
        name = target.removeprefix("/volumes/")
        if method == "DELETE":
            self.gone.append(name)
            return 204, None
        return (200, self.volumes[name]) if name in self.volumes else (404, {"message": "no such volume"})

    def containers(self) -> list[dict[str, Any]]:
        return self.held


def container(name: str, *mounts: dict[str, Any], **host: Any) -> dict[str, Any]:
    return {"Name": f"/{name}", "Mounts": list(mounts), "HostConfig": host}


def bind(source: Path | str, destination: str, *, rw: bool = True) -> dict[str, Any]:
    return {"Type": "bind", "Source": str(source), "Destination": destination, "RW": rw}


def volume(name: str, source: Path | str, destination: str, *, rw: bool = True) -> dict[str, Any]:
    return {"Type": "volume", "Name": name, "Source": str(source), "Destination": destination, "RW": rw}


class Host:
    """A host on which `deep` was moved out of a volume or directory `whole`, with its records."""

    def __init__(self, tmp_path: Path) -> None:
        self.home = Home(tmp_path / "controlplane")
        self.whole, self.place = tmp_path / "volumes/shop/_data", tmp_path / "disk/deep"
        self.deep = self.whole / "deep"
        for folder in (self.deep / "sub", self.place):
            folder.mkdir(parents=True)
        (self.deep / "old").write_text("old")
        (self.deep / "sub/older").write_text("older")
        (self.deep / "link").symlink_to("/etc")
        (self.place / "new").write_text("new")
        (self.whole / "beside").mkdir()
        (self.whole / "beside/kept").write_text("kept")

    def retire(self, *paths: Path, kind: str = "volume", base: Path | None = None, at: float = NOW, run: str = "R1") -> None:
        """Put paths on record as that run left them."""
        trees = [{"from": str(path), "to": str(self.place), "volume": "shop" if kind == "volume" else ""} for path in paths or (self.deep,)]
        sources = [{"kind": kind, "path": tree["from"], "base": str(base or self.whole), "volume": tree["volume"]} for tree in trees]
        self.home.run(run).write(phase="done", paths=[{"source": source} for source in sources])
        retired.retire(self.home, run, trees, now=at)

    def items(self, *paths: Path) -> list[dict[str, Any]]:
        """Return what a plan has of these paths, or of all that is on record."""
        named = {str(path) for path in paths}
        return [{key: one[key] for key in ("path", "run", "recorded")} for one in self.home.retired() if not paths or one["path"] in named]

    def terms(self, docker: Docker, *roots: Path, age_s: float = WEEK) -> purge.Terms:
        return purge.Terms([str(root) for root in roots], WEEK, NOW + age_s, docker)  # type: ignore[arg-type]

    def reasons(self, docker: Docker, *roots: Path) -> list[str]:
        return purge.reasons(self.home, self.items(), self.terms(docker, *roots))

    def rest(self) -> list[tuple[Any, ...]]:
        """Return all that is in `whole` but the part that moved: names, inodes, times, contents."""
        held = [self.whole, *sorted(path for path in self.whole.rglob("*") if self.deep not in (path, *path.parents))]
        return [(str(path), *path.lstat()[:7], path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else None) for path in held]

    def covered(self) -> dict[str, Any]:
        """Return the container that the part was moved for: it mounts the volume, and over the part what it moved to."""
        return container("within", volume("shop", self.whole, "/srv"), bind(self.place, "/srv/deep"))

    @property
    def is_closed(self) -> bool:
        return self.home.retired() == [] and all(not run.state.get("purging") for run in self.home.runs())


def names(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(path.name for path in folder.iterdir())
