"""What the collector looks at on one host beyond what it looks at everywhere: what the desired state names."""

from __future__ import annotations

from typing import Any

from controlplane.domain.desired import DesiredHost


def what_to_ask(desired: DesiredHost | None) -> dict[str, Any]:
    """Return the collector's parameters: `paths`, `mounts`, `services`, `write_surfaces` and `limits` (seconds by probe; empty for its own).

    No password is part of it; of where one is, what the container itself may have: a variable's name, and the user.
    """
    if desired is None:
        return {"paths": [], "mounts": [], "services": {}, "write_surfaces": [], "limits": {}}
    mounts = {disk.mount for disk in desired.disks} | {export.mount for export in desired.nfs}
    places = [service.place for service in desired.services.values()]
    surfaces = [surface.place for surface in desired.write_surfaces]
    roots = [desired.docker.data_root, desired.docker.containerd_root]
    paths = {path for path in (*mounts, *places, *surfaces, *roots, *(stack.dir for stack in desired.stacks)) if path}
    return {
        "paths": sorted(paths),
        "mounts": sorted(mounts),
        "services": {
            name: {
                "kind": service.kind,
                "data": service.data,
                "auth": service.auth.model_dump(exclude_none=True, include={"password_env", "user"}) if service.auth else {},
            }
            for name, service in sorted(desired.services.items())
        },
        "write_surfaces": [{"container": s.container, "path": s.path, "place": s.place} for s in desired.write_surfaces],
        "limits": {},
    }
