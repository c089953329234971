"""Golden boot images that have the service image in their Docker already: importing it takes longer than all else.

One is made by starting a machine from the plain golden image once, importing, and powering it off.
"""

from __future__ import annotations

from pathlib import Path

from . import machine
from .golden import Say, golden_image
from .home import LabHome
from .recipe import golden_digest, services_digest
from .records import MachineSpec
from .services import TRIMMED, ensure_services
from .ssh import ensure_access, ssh_run, wait_until_up

# What the engine wrote about itself must differ between machines.
_FORGET = "systemctl stop docker.socket docker containerd; rm -f /var/lib/docker/engine-id; rm -rf /var/log/journal/*; sync"


def prebaked_image(home: LabHome, spec: MachineSpec, say: Say) -> Path:
    """Return the cached boot image for `spec` with the service image imported, made where it isn't there."""
    plain = golden_image(home, spec, say)
    family = f"services-on-{spec.engine}-{spec.image_store}-{spec.boot_bytes}"
    image = home.cache / f"{family}-{golden_digest(spec.engine, spec.boot_bytes)}-{services_digest(TRIMMED)}.img"
    files = home.machine("golden-builder")
    with home.locked("prebaked"):
        if image.exists():
            return image
        ensure_access(home)
        machine.destroy(files)
        try:
            machine.create(home, files, spec.model_copy(update={"data_disk": "none"}), plain)
            machine.start(files, spec.model_copy(update={"data_disk": "none"}))
            wait_until_up(home, files, limit_s=150)
            ensure_services(home, files, say)
            ssh_run(home, files.name, ["sh", "-c", _FORGET])
            machine.power_off(files)
            files.boot.rename(image)
        finally:
            machine.destroy(files)
        for older in home.cache.glob(f"{family}-*.img"):
            if older != image:
                older.unlink()
    return image
