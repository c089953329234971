"""Collect this host's evidence and print it as one line between marks, whatever a banner, a profile or sudo prints around it."""

from __future__ import annotations

import base64
import gc
import json
import os
import signal
import zlib
from importlib import import_module
from typing import Any, BinaryIO, Callable

from .supervise import ENDS, Probe, run_probes
from .tools import PATH

MOST_TOLD = 4 << 20
BEGIN, END = "<<<controlplane-evidence:", ":controlplane-evidence>>>"

# What most probes stand on is read once, before they part.
_SHARED = ("docker", "state")


def _from(module: str, name: str | None = None) -> Callable[[dict[str, Any], dict[str, Any]], Any]:
    """Return the probe of that name in a module that is imported where the probe runs: in a child of its own, beside the others, if at all."""

    def run(asked: dict[str, Any], seen: dict[str, Any]) -> Any:
        return getattr(import_module(f".{module}", __package__), name or module)(asked, seen)

    return run


# Slow ones first, so that the others run beside them.
PROBES = [
    Probe("docker_usage", _from("docker", "docker_usage"), 20.0),
    Probe("docker_store", _from("store", "docker_store"), 20.0, ("docker_usage",)),
    Probe("docker_containers", _from("docker", "docker_containers"), 10.0),
    Probe("units", _from("units")),
    Probe("block", _from("block")),
    Probe("docker_info", _from("docker", "docker_info")),
    Probe("docker_volumes", _from("docker", "docker_volumes")),
    Probe("fstab", _from("fstab")),
    Probe("docker_images", _from("docker", "docker_images")),
    Probe("target_state", _from("state", "target_state"), 15.0),
    Probe("tmp", _from("tmp"), 10.0),
    Probe("surfaces", _from("surfaces"), 8.0),
    Probe("sources", _from("sources"), 8.0, ("docker_containers",)),
    Probe("identity", _from("identity")),
    Probe("packages", _from("packages")),
    Probe("network", _from("network")),
    Probe("mounts", _from("mounts")),
    Probe("usage", _from("mounts", "usage"), 8.0),
    Probe("beneath", _from("beneath")),
    Probe("signatures", _from("signatures"), 8.0, ("block",)),
    Probe("docker_config", _from("docker_config"), 5.0, ("units",)),
    Probe("redis", _from("redis"), 8.0, ("docker_containers",)),
    Probe("postgres", _from("postgres"), 8.0, ("docker_containers",)),
    Probe("releases", _from("releases")),
    Probe("paths", _from("places", "paths"), 10.0, ("block", "docker_info", "docker_config", "docker_containers", "docker_volumes")),
]


def collect(asked: dict[str, Any]) -> bytes:
    """Return the probes' records as one JSON object."""
    # What runs on a hypervisor is asked of none but hypervisors.
    chosen = [*PROBES, *([Probe("machines", _from("machines"), 30.0)] if "machines" in asked else [])]
    for module in () if "only" in asked else _SHARED:
        import_module(f".{module}", __package__)
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
