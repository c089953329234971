"""One host's desired state as lines of text."""

from __future__ import annotations

from controlplane.domain.desired import DesiredHost
from controlplane.domain.policy import Limits
from controlplane.domain.sizes import format_size


def shown(desired: DesiredHost) -> list[str]:
    """Return the lines that `policy show` prints."""
    lines = [f"{desired.host}: tier {desired.tier or '-'} (data on {desired.data or '-'}), groups {', '.join(desired.groups) or '-'}"]
    lines += ["thresholds", *(f"  {name}: {_amount(name, desired.thresholds)}" for name in Limits.model_fields)]
    for disk in desired.disks:
        sizes = f", {format_size(disk.min_size)} to {format_size(disk.max_size)}" if disk.min_size and disk.max_size else ""
        lines.append(f"disk {disk.label}: {disk.filesystem} on {disk.mount} ({', '.join(disk.options) or 'no options'}){sizes}")
    lines += [f"nfs {nfs.source} on {nfs.mount} ({', '.join((nfs.mode, *nfs.options))})" for nfs in desired.nfs]
    docker = desired.docker
    lines += [f"docker data-root: {docker.data_root or 'as it is'}", f"containerd root: {docker.containerd_root or 'as it is'}"]
    if docker.log:
        lines.append(f"docker log: {docker.log.max_files} files of {format_size(docker.log.max_size)}")
    for name, service in desired.services.items():
        home = service.place or f"volume {service.volume}"
        lines.append(f"service {name} ({service.kind}): {service.data} on {home}")
    lines += [f"stack {stack.project}: {stack.dir}" for stack in desired.stacks]
    lines += [f"write surface {each.container}:{each.path}: on {each.place}" for each in desired.write_surfaces]
    lines += [f"accepted on the boot disk {each.container}:{each.path}: {each.reason}" for each in desired.boot_accepted]
    for waiver in desired.waivers:
        surface = f" {waiver.surface}" if waiver.surface else ""
        over = f" (its waiver {waiver.void})" if waiver.void is not None else ""
        lines.append(f"waived {waiver.check}{surface} until {waiver.ends_at:%Y-%m-%dT%H:%M:%SZ} by {waiver.approved_by}: {waiver.reason}{over}")
    return lines


def _amount(name: str, limits: Limits) -> str:
    value = getattr(limits, name)
    if value is None:
        return "-"
    return f"{value}%" if name.startswith(("root_used", "disk_used")) else format_size(value)
