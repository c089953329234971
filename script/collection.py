"""Take one Ansible collection out of the `ansible` package and put it beside ansible-core.

The package that `pip install controlplane[proxmox]` brings holds a hundred collections, 480 MB in 30 seconds; a checkout needs one, 2 MB.
The version is the one in constraints.txt. It is kept where it is there already.
"""

import json
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

NAME = "community/proxmox"


def main() -> int:
    """Fetch the collection unless it is there; 1 where it can't be had."""
    [pin] = [line for line in Path("constraints.txt").read_text("utf-8").splitlines() if line.startswith("ansible==")]
    site = Path(sysconfig.get_paths()["purelib"])
    there = site / "ansible_collections" / NAME
    mark = there / ".from"
    if mark.is_file() and mark.read_text("utf-8") == pin:
        return 0
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "-d", folder, pin]
        if subprocess.run(pip, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False).returncode:
            return 1
        [wheel] = Path(folder).glob("ansible-*.whl")
        with zipfile.ZipFile(wheel) as package:
            package.extractall(site, [one for one in package.namelist() if one.startswith(f"ansible_collections/{NAME}/")])
    mark.write_text(pin, "utf-8")
    told = json.loads((there / "MANIFEST.json").read_text("utf-8"))["collection_info"]
    sys.stderr.write(f"setup: collection {told['namespace']}.{told['name']} {told['version']}, out of {pin}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
