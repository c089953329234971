"""A fresh lab machine and the site that governs it, for benches that change one."""

from __future__ import annotations

import json
from pathlib import Path

from bench.rows import PROGRAM, command

_HOSTS = 'all:\n  hosts:\n    {machine}: {{ansible_user: root, ansible_ssh_common_args: "-F {config}"}}\n'
_POLICY = """\
version: 1
tiers: {{data-disk: {{data: disk}}}}
hosts:
  {machine}:
    tier: data-disk
    disks: [{{loop_file: {disk}, min_size: 1GB, max_size: 600GB, filesystem: ext4, mount: /mnt/data}}]
"""


def made_anew(machine: str, *options: str) -> str:
    """Make the machine anew with these options of `lab reset`; return the file behind its data disk."""
    made = json.loads(command([PROGRAM, "lab", "reset", machine, *options, "-o", "json"]))["machines"]
    return str(next(one["data_file"] for one in made if one["name"] == machine))


def write_site(folder: Path, machine: str, disk: str, *, policy: str, machines: str = "") -> Path:
    """Write a site below `folder` and return it; `policy` are more lines of the host's entry, `machines` a whole machines.yml."""
    site = folder / "site"
    site.mkdir()
    config = Path(disk).parents[2] / "ssh_config"
    (site / "site.yml").write_text("name: bench\ninventory: hosts.yml\napproval: none\n")
    (site / "hosts.yml").write_text(_HOSTS.format(machine=machine, config=config))
    (site / "policy.yml").write_text(_POLICY.format(machine=machine, disk=disk) + policy)
    if machines:
        (site / "machines.yml").write_text(machines)
    return site
