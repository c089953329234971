"""Capabilities: what mends which findings, one module each. Each proposes; none acts.

To add one: a module with `CAPABILITY`, its entry in `CAPABILITIES` below (which is the order of steps), its role, a molecule scenario and a page.
"""

from __future__ import annotations

from controlplane.domain.capabilities import (
    data_disk,
    docker_data_root,
    docker_hygiene,
    fstab,
    persistent_paths,
    purge_retired,
    redis_aof,
    release_deploy,
    tmp_files,
    vm_bootstrap,
    vm_provision,
    write_surfaces,
)
from controlplane.domain.capabilities.proposal import Capability

CAPABILITIES: dict[str, Capability] = {
    capability.id: capability
    for capability in (
        vm_provision.CAPABILITY,
        data_disk.CAPABILITY,
        fstab.CAPABILITY,
        vm_bootstrap.CAPABILITY,
        docker_data_root.CAPABILITY,
        persistent_paths.CAPABILITY,
        redis_aof.CAPABILITY,
        write_surfaces.CAPABILITY,
        release_deploy.CAPABILITY,
        docker_hygiene.CAPABILITY,
        tmp_files.CAPABILITY,
        purge_retired.CAPABILITY,
    )
}

__all__ = ["CAPABILITIES", "Capability"]
