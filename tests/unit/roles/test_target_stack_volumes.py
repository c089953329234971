"""Where a stack's named volumes have their data: by what Docker has there, whatever the files say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import stack_undo, stack_volumes
from controlplane_target.faults import RefusedFault

from tests.unit.roles.stack_host import CHECKED, StackHost

ROOT = "/docker/volumes"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackHost:
    return StackHost(tmp_path, monkeypatch)


def volume(name: str, **options: str) -> dict[str, Any]:
    return {"Name": name, "Driver": "local", "Mountpoint": f"{ROOT}/{name}/_data", "Options": options or None}


def bound(name: str, place: object) -> dict[str, Any]:
    return volume(name, type="none", o="bind", device=str(place))


def files(**declared: Any) -> list[dict[str, str]]:
    """Return a compose file whose database mounts the volume `pgdata`, which is declared so."""
    both: dict[str, Any] = {name: {"image": "x", "restart": "always", "healthcheck": CHECKED} for name in ("web", "db")}
    both["db"]["volumes"] = [{"type": "volume", "source": "pgdata", "target": "/data"}]
    return [{"name": "compose.yml", "text": json.dumps({"name": "shop", "services": both, "volumes": {"pgdata": {"name": "pgdata", **declared}}})}]


def told(host: StackHost, planned: dict[str, str], **declared: Any) -> str:
    """Return why the release is refused, empty where it is not."""
    try:
        host.verbs().refuse(host.home.run("R2"), host.request("2", files=files(**declared), volumes=planned))
    except RefusedFault as fault:
        return str(fault).removeprefix("compose_stack of shop (staging) refused: ").removesuffix(". Nothing was changed.")
    return ""


def test_a_volume_that_is_there_is_refused_where_its_data_lie_elsewhere_than_planned(host: StackHost, tmp_path: Path) -> None:
    (tmp_path / "pg").mkdir()
    plain = f"{ROOT}/pgdata/_data"
    host.volumes = [bound("pgdata", tmp_path / "pg")]
    moved = f"volume pgdata has its data in {tmp_path}/pg by now, not in {plain} as was planned: make a new plan"
    assert told(host, {"pgdata": plain}, external=True) == moved
    assert told(host, {"pgdata": str(tmp_path / "pg")}, external=True) == ""
    assert told(host, {}, external=True).startswith(
        f"volume pgdata is there with options of its own, so its data lie in {tmp_path}/pg, which the plan"
    )
    host.volumes = [volume("pgdata")]
    assert told(host, {"pgdata": plain}) == told(host, {}) == ""
    assert told(host, {"pgdata": str(tmp_path / "pg")}).startswith(f"volume pgdata has its data in {plain} by now, not in {tmp_path}/pg")
    # It went away since: a new one would be empty.
    host.volumes = []
    assert told(host, {"pgdata": str(tmp_path / "pg")}).startswith("volume pgdata will have its data in //volumes/pgdata/_data by now, not in ")


def test_a_directory_behind_a_volume_has_to_be_there_as_a_bind_has_to(host: StackHost, tmp_path: Path) -> None:
    host.volumes = [bound("pgdata", tmp_path / "away")]
    assert told(host, {"pgdata": f"{tmp_path}/away"}, external=True).startswith(f"{tmp_path}/away, which volume pgdata binds, is not there")


def test_a_volume_whose_data_lie_nowhere_on_this_host_is_refused_unless_it_is_only_read(host: StackHost) -> None:
    host.volumes = [volume("pgdata", type="nfs", o="addr=nas", device=":/pg")]
    assert told(host, {}, external=True).startswith("volume pgdata is there with options of its own, so its data lie in no directory of this host")
    config = {"services": {"db": {"volumes": [{"type": "volume", "source": "pgdata", "target": "/data", "read_only": True}]}}}
    assert stack_volumes.against(host, config, {}) == []  # type: ignore[arg-type]


def test_a_way_back_is_refused_while_the_directory_behind_a_volume_is_not_there(host: StackHost, tmp_path: Path) -> None:
    (tmp_path / "pg").mkdir()
    host.volumes = [bound("pgdata", tmp_path / "pg")]
    both = files(external=True)
    planned = {"pgdata": str(tmp_path / "pg")}
    host.deploy(host.home.run("R1"), host.request(files=both, volumes=planned))
    run = host.home.run("R2")
    host.deploy(run, host.request("2", files=both, volumes=planned))
    (tmp_path / "pg").rename(tmp_path / "elsewhere")
    with pytest.raises(RefusedFault, match=f"undo of R2 refused: {tmp_path}/pg, which volume pgdata binds, is not there"):
        stack_undo.undo(host.verbs(), host.home.run("R3"), run)
