"""Collect this host's evidence and print it as one line between marks, whatever a banner, a profile or sudo prints around it."""

from __future__ import annotations

import base64
import gc
import json
import os
import signal
import zlib
from typing import Any, BinaryIO

from .beneath import beneath
from .block import block
from .docker import docker_containers, docker_images, docker_info, docker_usage, docker_volumes
from .docker_config import docker_config
from .fstab import fstab
from .identity import identity
from .machines import machines
from .mounts import mounts, usage
from .network import network
from .packages import packages
from .places import paths
from .postgres import postgres
from .redis import redis
from .releases import releases
from .signatures import signatures
from .state import target_state
from .store import docker_store
from .supervise import ENDS, Probe, run_probes
from .surfaces import surfaces
from .tmp import tmp
from .tools import PATH
from .units import units

MOST_TOLD = 4 << 20
BEGIN, END = "<<<controlplane-evidence:", ":controlplane-evidence>>>"

# Slow ones first, so that the others run beside them.
PROBES = [
    Probe("docker_usage", docker_usage, 20.0),
    Probe("docker_store", docker_store, 20.0, ("docker_usage",)),
    Probe("docker_containers", docker_containers, 10.0),
    Probe("units", units),
    Probe("block", block),
    Probe("docker_info", docker_info),
    Probe("docker_volumes", docker_volumes),
    Probe("fstab", fstab),
    Probe("docker_images", docker_images),
    Probe("target_state", target_state, 15.0),
    Probe("tmp", tmp, 10.0),
    Probe("surfaces", surfaces, 8.0),
    Probe("identity", identity),
    Probe("packages", packages),
    Probe("network", network),
    Probe("mounts", mounts),
    Probe("usage", usage, 8.0),
    Probe("beneath", beneath),
    Probe("signatures", signatures, 8.0, ("block",)),
    Probe("docker_config", docker_config, 5.0, ("units",)),
    Probe("redis", redis, 8.0, ("docker_containers",)),
    Probe("postgres", postgres, 8.0, ("docker_containers",)),
    Probe("releases", releases),
    Probe("paths", paths, 10.0, ("block", "docker_info", "docker_config", "docker_containers", "docker_volumes")),
]


def collect(asked: dict[str, Any]) -> bytes:
    """Return the probes' records as one JSON object."""
    # What runs on a hypervisor is asked of none but hypervisors.
    chosen = [*PROBES, *([Probe("machines", machines, 30.0)] if "machines" in asked else [])]
    records = run_probes([probe for probe in chosen if probe.name in asked.get("only", [probe.name])], asked, output=1)
    return ("{" + ",".join(f"{json.dumps(name)}:{record}" for name, record in records.items()) + "}").encode("utf-8", "replace")


def _end(_number: int, _frame: object) -> None:
    raise SystemExit(1)


def hear(asked: dict[str, Any], told: BinaryIO) -> None:
    """Add what only the controller knows to the services that it is about: under `secret`, their password, or why there is none."""
    try:
        secrets = json.loads(told.readline(MOST_TOLD))
    except ValueError:
        raise SystemExit("what the controller had to tell did not arrive whole") from None
    for name, secret in secrets.items():
        asked["services"][name]["secret"] = secret


def main(asked: dict[str, Any], told: BinaryIO | None = None) -> None:
    """Print the evidence between its marks; `told` is where passwords come from, if any do."""
    gc.disable()
    for number in ENDS:
        signal.signal(number, _end)
    if told is not None:
        hear(asked, told)
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:{PATH}".lstrip(":")
    packed = base64.b64encode(zlib.compress(collect(asked), 6)).decode()
    line = f"\n{BEGIN}{packed}{END}\n".encode()
    while line:
        line = line[os.write(1, line) :]
