"""As much of a Docker as a Redis' run asks: one container, with lives of its own, a restart policy, and units that bring it up."""

from __future__ import annotations

from typing import Any

import pytest
from controlplane_target import redis_anew, redis_aof, redis_down, redis_end, redis_gone, redis_guard, settle_units
from controlplane_target.path_source import Source

FIRST, SECOND, THIRD = "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"
POLICY = {"Name": "unless-stopped", "MaximumRetryCount": 0}


class Docker:
    """`held` is the container's inspection, None where there is none; `did` what it was asked to do, in order; `units` the runs that have one."""

    def __init__(self, data: str, name: str = "cache") -> None:
        self.held: dict[str, Any] | None = {
            "Id": "one",
            "Name": f"/{name}",
            "Image": "sha256:1",
            "Path": "redis-server",
            "Args": ["--save", "60 1"],
            "Config": {"Cmd": []},
            "HostConfig": {"RestartPolicy": dict(POLICY)},
            "Mounts": [{"Type": "bind", "Source": data, "Destination": data}],
            "State": {"Running": True, "Status": "running", "StartedAt": FIRST, "FinishedAt": "0001-01-01T00:00:00Z"},
        }
        self.did: list[str] = []
        self.units: set[str] = set()
        self.daemon, self.is_loaded = "active", True

    @property
    def policy(self) -> str:
        assert self.held is not None
        return str(self.held["HostConfig"]["RestartPolicy"]["Name"])

    @property
    def state(self) -> dict[str, Any]:
        assert self.held is not None
        return dict(self.held["State"])

    def ends(self) -> None:
        """Be killed: what its policy says then is for the test."""
        assert self.held is not None
        self.held["State"] = {**self.held["State"], "Running": False, "Status": "exited", "FinishedAt": SECOND}

    def starts(self, at: str = SECOND) -> None:
        assert self.held is not None
        self.held["State"] = {"Running": True, "Status": "running", "StartedAt": at, "FinishedAt": at}

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the modules of a run ask this one."""

        def inspected(_name: str, _engine: Any = None) -> dict[str, Any] | None:
            return self.held

        def state_of(_name: str, _engine: Any = None) -> dict[str, Any] | None:
            return None if self.held is None else dict(self.held["State"])

        def start(name: str, _engine: Any = None) -> None:
            self.did.append(f"start {name}")
            self.starts(THIRD)

        def set_restart(container: str, policy: dict[str, Any], _engine: Any = None) -> None:
            self.did.append(f"restart {container} {policy['Name']}")
            if self.held is not None and self.held["Id"] == container:
                self.held["HostConfig"]["RestartPolicy"] = dict(policy)

        fakes = {"inspected": inspected, "state_of": state_of, "start": start, "set_restart": set_restart}
        for module in (redis_anew, redis_aof, redis_down, redis_end, redis_gone, redis_guard):
            for name, fake in fakes.items():
                if hasattr(module, name):
                    monkeypatch.setattr(module, name, fake)
        monkeypatch.setattr(redis_guard, "source_of", lambda _engine, _held, path: Source("bind", path, path, ""))
        monkeypatch.setattr(settle_units, "install_after", lambda run, *_, **__: self.units.add(run))
        monkeypatch.setattr(settle_units, "start_after", lambda run: self.did.append(f"watch {run}"))
        monkeypatch.setattr(settle_units, "uninstall_after", self.units.discard)
        monkeypatch.setattr(redis_down, "loaded", lambda _unit: self.is_loaded)
        monkeypatch.setattr(redis_down, "systemctl", lambda *_, **__: self.daemon + "\n")
