"""A small cluster to begin with: one node, a file storage with an image, a pool for disks, a template."""

from __future__ import annotations

from tests.fakes.proxmox.world import GIB, Storage, Vm, Volume, World

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGh3Y2hlY2tlcmNoZWNrZXJjaGVja2VyY2hlY2tlcmNo ops@example.org"
IMAGE = "local:import/debian-12.qcow2"
TEMPLATE = 9000


def small_cluster() -> World:
    """Return a world of its own for each test."""
    local = Storage("local", "dir", 100 * GIB, ("images", "iso", "import", "snippets"), {IMAGE: Volume(2 * GIB, "import", format="qcow2")})
    tank = Storage("tank", "zfspool", 50 * GIB, volumes={"tank:base-9000-disk-0": Volume(2 * GIB, owner=TEMPLATE)})
    template = {
        "name": "debian-12",
        "template": "1",
        "cores": "1",
        "memory": "512",
        "tags": "golden",
        "scsihw": "virtio-scsi-single",
        "scsi0": "tank:base-9000-disk-0,size=2G",
        "net0": "virtio=BC:24:11:AA:00:01,bridge=vmbr0",
        "boot": "order=scsi0",
        "agent": "enabled=1",
    }
    return World(storages={"local": local, "tank": tank}, vms={TEMPLATE: Vm(TEMPLATE, "pve", template)})
