"""The boot image of virtual machines: the first lane's golden image with the service image, and a kernel."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from controlplane.adapters.lab.golden import Say, building, copy_image, golden_image
from controlplane.adapters.lab.home import LabHome, MachineFiles
from controlplane.adapters.lab.prebaked import prebaked_image
from controlplane.adapters.lab.programs import run
from controlplane.adapters.lab.records import MachineSpec

from .recipe import vm_digest

IN_OWN_MOUNTS = ["unshare", "--mount", "--propagation", "private"]


def vm_image(home: LabHome, spec: MachineSpec, say: Say) -> Path:
    """Return the cached folder with boot.img, vmlinuz and initrd for `spec`, made where it isn't there (half a minute)."""
    source = golden_image(home, spec, say) if spec.engine == "none" else prebaked_image(home, spec, say)
    family = f"vm-on-{spec.engine}-{spec.image_store}-{spec.boot_bytes}"
    image = home.cache / f"{family}-{vm_digest(source.name)}"
    with home.locked("vm-image"):
        if image.exists():
            return image
        say("installing a kernel into the image for virtual machines")
        with building(home, family) as (scratch, log):
            whole = scratch / "image"
            whole.mkdir()
            copy_image(source, whole / "boot.img")
            argv: list[str | Path] = [*IN_OWN_MOUNTS, sys.executable, "-m", "controlplane.adapters.lab.vm.bake", whole]
            run(argv, log=log, extra={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
            whole.rename(image)
        for older in home.cache.glob(f"{family}-*"):
            if older.is_dir() and older != image:
                shutil.rmtree(older)
    return image


def personalise(files: MachineFiles) -> None:
    """Copy the machine's own files (host name, keys) into the filesystem that it boots from."""
    script = 'mount -o loop "$1" "$2" && cp -a "$3/." "$2" && chroot "$2" chown -R ops:ops /home/ops && umount "$2"'
    files.root.mkdir()
    run([*IN_OWN_MOUNTS, "sh", "-c", script, "sh", files.boot, files.root, files.personal])
    files.root.rmdir()
    shutil.rmtree(files.personal)
