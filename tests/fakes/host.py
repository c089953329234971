"""A machine that is its evidence: roles change it the way the real ones change a real one, in steps that can be cut off."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from controlplane.domain.evidence import Evidence
from tests.fakes.evidence_builder import DATA, EvidenceBuilder, container, healthy_probes, mount, place
from tests.fakes.plain import copied

OLD_ROOT, OLD_CONTAINERD = "/var/lib/docker", "/var/lib/containerd"


def drifting_probes() -> dict[str, Any]:
    """Return a `mint-data` whose Docker sits on the boot disk and whose data disk is blank."""
    probes = healthy_probes()
    probes["mounts"] = [one for one in probes["mounts"] if one["mount"] != "/mnt/data"]
    probes["signatures"][DATA] = {"uuid": None, "type": None, "label": None, "blkid": {}, "wipefs": []}
    del probes["usage"]["/mnt/data"]
    probes["fstab"] |= {"text": "", "entries": []}
    probes["beneath"] = {"/mnt/data": {"exists": False, "entries": 0, "sample": [], "immutable": None}}
    for unit in probes["units"].values():
        unit["drop_ins"] = []
    for path in list(probes["paths"]):
        if path.startswith("/mnt/data"):
            probes["paths"][path] = place(path, "254:0", "/", exists=False, nearest="/mnt", kind="absent", uid=None, gid=None, mode=None)
    for path in (OLD_ROOT, OLD_CONTAINERD):
        probes["paths"][path] = place(path, "254:0", "/")
    probes["docker_config"] |= {"daemon_json": None, "containerd_config": None, "containerd_root": OLD_CONTAINERD}
    probes["docker_info"]["root"] = OLD_ROOT
    return probes


class FakeHost:
    """`probes` is what it would show now; `undo` is what lies on it by run key; `ran` lists (role, run key) of every play.

    A play does no more than its first `breaks_after` parts.
    """

    def __init__(self, name: str = "mint-data", probes: dict[str, Any] | None = None) -> None:
        self.name = name
        self.probes = probes if probes is not None else drifting_probes()
        self.undo: dict[str, dict[str, Any]] = {}
        self.ran: list[tuple[str, str]] = []
        self.formatted = 0
        self.breaks_after: int | None = None

    def evidence(self, collected_at: str) -> Evidence:
        """Return what it shows."""
        builder = EvidenceBuilder(self.probes)
        if self.name != "mint-data":
            builder.probes["identity"]["machine_id"] = f"m-{self.name}"
        return builder.build(self.name, collected_at)

    def play(self, role: str, variables: dict[str, Any], touch: Callable[[str], None]) -> None:
        """Run one role, or its rollback where the variables say so."""
        key = variables[f"{role}_run"]
        self.ran.append((role, key))
        undoes = variables.get(f"{role}_rollback_of")
        if undoes is not None:
            if undoes in self.undo:
                self.probes = copied(self.undo[undoes])
            return
        self.undo.setdefault(key, copied(self.probes))
        for number, act in enumerate(_ROLES[role](self, variables)):
            if number == self.breaks_after:
                return
            touch(f"{role} on {self.name}, part {number}")
            act()


Acts = Iterator[Callable[[], None]]


def _data_disk(host: FakeHost, told: dict[str, Any]) -> Acts:
    probes, at = host.probes, told["data_disk_mount"]
    number = next(n for n, device in probes["block"].items() if device["serial"] == told["data_disk_identity"]["value"])
    mark = probes["signatures"][number]

    def mkfs() -> None:
        if mark["uuid"] is None:
            assert told["data_disk_format"], "formatted although the plan does not say so"
            host.formatted += 1
            kind = told["data_disk_filesystem"]
            mark.update({"uuid": told["data_disk_uuid"], "type": kind, "blkid": {"TYPE": kind}, "wipefs": [f"{kind}@0x438"]})

    def mountpoint() -> None:
        probes["paths"][at] = place(at, "254:0", "/")
        probes["beneath"][at] = {"exists": True, "entries": 0, "sample": [], "immutable": True}

    def mount_it() -> None:
        if not any(one["mount"] == at for one in probes["mounts"]):
            probes["mounts"].append(mount(at, number, source="/dev/vdb"))
        probes["usage"][at] = {"size": 95 * 10**9, "free": 94 * 10**9, "available": 90 * 10**9, "inodes": 6_000_000, "inodes_free": 5_999_000}
        for path in probes["paths"]:
            if path == at or path.startswith(f"{at}/"):
                probes["paths"][path] = place(path, number, at) | ({} if path == at else {"exists": False, "nearest": at, "kind": "absent"})

    yield mkfs
    yield mountpoint
    yield mount_it


def _fstab(host: FakeHost, told: dict[str, Any]) -> Acts:
    def entries() -> None:
        fstab = host.probes["fstab"]
        for entry in told["fstab_entries"]:
            kept = [one for one in fstab["entries"] if one["file"] != entry["file"]]
            fstab["entries"] = [*kept, {"line": len(kept) + 1, **entry}]
        rows = [f"{e['spec']} {e['file']} {e['vfstype']} {','.join(e['options'])} {e['freq']} {e['passno']}" for e in fstab["entries"]]
        fstab["text"] = "".join(f"{row}\n" for row in rows)

    def guard(unit: str, text: str) -> None:
        path = f"/etc/systemd/system/{unit}.d/50-controlplane-mounts.conf"
        drops = [drop for drop in host.probes["units"][unit]["drop_ins"] if drop["path"] != path]
        host.probes["units"][unit]["drop_ins"] = [*drops, {"path": path, "text": text, "mtime": 1.0}]

    yield entries
    for path in told["fstab_bare"]:
        yield partial(host.probes["beneath"][path].update, immutable=True)
    for one in told["fstab_guards"]:
        yield partial(guard, one["unit"], one["text"])


def _docker_data_root(host: FakeHost, told: dict[str, Any]) -> Acts:
    import json

    def merge(root: dict[str, str]) -> None:
        config = host.probes["docker_config"]
        config["daemon_json"] = json.dumps(json.loads(config["daemon_json"] or "{}") | root | told["docker_data_root_daemon_json"])

    def move(one: dict[str, str]) -> None:
        probes = host.probes
        probes["paths"][one["to"]] = place(one["to"], DATA, "/mnt/data")
        if one["kind"] == "docker":
            probes["docker_info"]["root"] = one["to"]
            merge({"data-root": one["to"]})
        else:
            probes["docker_config"] |= {"containerd_root": one["to"], "containerd_config": f'root = "{one["to"]}"\n'}
        retired = {"path": one["from"], "run": told["docker_data_root_run"], "retired_at": "2026-01-02T12:00:00Z", "size": 9, "entries": 3}
        retired |= {
            "exists": True,
            "recorded": "sha256:ab",
            "fingerprint": "sha256:ab",
            "unreadable": None,
            "purging": None,
            "replaced_by": one["to"],
        }
        if all(item["path"] != one["from"] for item in probes["target_state"]["retired"]):
            probes["target_state"]["retired"].append(retired)

    if not told["docker_data_root_moves"]:
        yield partial(merge, {})
    for one in told["docker_data_root_moves"]:
        yield partial(move, one)


def _purge_retired(host: FakeHost, told: dict[str, Any]) -> Acts:
    def put_aside(path: str) -> None:
        for item in host.probes["target_state"]["retired"]:
            if item["path"] == path and item["exists"]:
                aside = {"aside": f"/var/lib/.controlplane-purging-{path.rpartition('/')[2]}", "run": told["purge_retired_run"]}
                item.update(exists=False, fingerprint=None, purging={**aside, "entries": 2, "size": 7})

    def delete(path: str) -> None:
        retired = host.probes["target_state"]["retired"]
        host.probes["target_state"]["retired"] = [item for item in retired if item["path"] != path]

    for act in (put_aside, delete):
        for item in told["purge_retired_items"]:
            yield partial(act, item["path"])


def _compose_stack(host: FakeHost, told: dict[str, Any]) -> Acts:
    probes, said = host.probes, {key.removeprefix("compose_stack_"): value for key, value in told.items()}
    project = said["project"]

    def files() -> None:
        kept = ("stack", "environment", "project", "dir", "manifest", "manifest_name", "env_digest", "run")
        digests = {one["name"]: hashlib.sha256(one["text"].encode()).hexdigest() for one in said["files"]}
        made = {name: [f"{told['compose_stack_run']}-{name}"] for name in said["images"]}
        of = {"files": digests, "order": [*digests, "compose.release.yml"], "containers": made}
        probes["releases"][project] = {"record": {key: said[key] for key in kept} | of, "changed": []}

    def service(name: str, image: str) -> None:
        others = [one for one in probes["docker_containers"] if (one["compose_project"], one["compose_service"]) != (project, name)]
        health = {"image": image, "image_digests": [image], "health": "healthy", "image_id": f"sha256:{image[-64:]}"}
        of = {"compose_project": project, "compose_service": name, "compose_dir": said["dir"], "id": f"{told['compose_stack_run']}-{name}"}
        probes["docker_containers"] = [*others, container(f"{project}-{name}-1", [], **health, **of)]

    yield files
    for name, image in said["images"].items():
        yield partial(service, name, image)


_ROLES: dict[str, Callable[[FakeHost, dict[str, Any]], Acts]] = {
    "data_disk": _data_disk,
    "fstab": _fstab,
    "docker_data_root": _docker_data_root,
    "purge_retired": _purge_retired,
    "compose_stack": _compose_stack,
}
