"""Which keys of a compose file are judged, which change nothing that is judged, and which are refused.

What is in no table is a fault: a key that this program does not know may do anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from controlplane.domain.releases.compose_said import Judging, Said
from controlplane.domain.releases.interpolation import Reference, UnresolvedError, is_usual, references, undeclared
from controlplane.domain.releases.secret_forms import is_secret_name

_TOP: Final = frozenset(["configs", "name", "networks", "secrets", "services", "version", "volumes"])
_TOP_REFUSED: Final = {
    "include": "brings in files that are not judged here: name them under compose in the release's file",
    "models": "brings in models, which this program does not judge: take it out",
}
_JUDGED: Final = frozenset(
    [
        "cgroup", "configs", "container_name", "depends_on", "deploy", "env_file", "environment", "healthcheck", "image", "ipc", "links",
        "network_mode", "networks", "pid", "pull_policy", "restart", "scale", "secrets", "tmpfs", "uts", "volumes",
    ]
)  # fmt: skip
# Limits, names and manners of a container: neither where its data lie, nor which image runs, nor whether it comes back.
_HARMLESS: Final = frozenset(
    [
        "annotations", "attach", "blkio_config", "cap_add", "cap_drop", "cgroup_parent", "command", "cpu_count", "cpu_percent",
        "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime", "cpu_shares", "cpus", "cpuset", "develop", "device_cgroup_rules", "devices",
        "dns", "dns_opt", "dns_search", "domainname", "entrypoint", "expose", "external_links", "extra_hosts", "gpus", "group_add", "hostname",
        "init", "isolation", "labels", "logging", "mac_address", "mem_limit", "mem_reservation", "mem_swappiness", "memswap_limit",
        "oom_kill_disable", "oom_score_adj", "pids_limit", "platform", "ports", "post_start", "pre_stop", "privileged", "read_only", "runtime",
        "security_opt", "shm_size", "stdin_open", "stop_grace_period", "stop_signal", "storage_opt", "sysctls", "tty", "ulimits", "user",
        "userns_mode", "working_dir",
    ]
)  # fmt: skip
_REFUSED: Final = {
    "build": "builds an image on the machine: a release runs images by digest, so name the image alone",
    "credential_spec": "reads a file that is not deployed: take it out",
    "extends": "takes over what stands elsewhere, which is not judged here: write the keys out",
    "label_file": "reads a file that is not deployed: write labels",
    "models": "brings in models, which this program does not judge: take it out",
    "pre_start": "runs further containers, which are not judged here: take it out",
    "profiles": "leaves the service out unless its profile is asked for, which a release never does: take profiles out, or the service",
    "provider": "hands the service to another program, which is not judged here: take it out",
    "pull_refresh_after": "pulls by itself, and a release pulls what its manifest names: take it out",
    "use_api_socket": "hands the engine's socket to the container: take it out",
    "volumes_from": "takes over what another container mounts, which is not judged here: write volumes out",
}
# What Compose has by itself on the host, from the environment that the deployment gives it: neither .env nor a default counts there.
_OF_THE_HOST: Final = frozenset(["HOME", "LC_ALL", "PATH"])
_IN_DEPLOY: Final = frozenset(["endpoint_mode", "labels", "mode", "placement", "replicas", "resources", "rollback_config", "update_config"])


def check_top(judging: Judging, top: Said) -> None:
    """Note every key of a file that is not known, or refused."""
    _check(judging, top, known=_TOP, refused=_TOP_REFUSED)


def check_service(judging: Judging, service: Said) -> None:
    """Note every key of a service that is not known, or refused."""
    _check(judging, service, known=_JUDGED | _HARMLESS, refused=_REFUSED)


def check_deploy(judging: Judging, deploy: Said) -> None:
    """Note every key of `deploy` that is not known, or refused."""
    _check(judging, deploy, known=_IN_DEPLOY, refused={"restart_policy": "would override restart: write restart alone"})


def check_keys(judging: Judging, mapping: Said, known: frozenset[str]) -> None:
    """Note every key that is not among the known ones."""
    _check(judging, mapping, known=known, refused={})


def _check(judging: Judging, mapping: Said, *, known: frozenset[str], refused: Mapping[str, str]) -> None:
    for key, part in mapping.parts():
        if key in refused and part.value is not None:
            judging.fault(part, refused[str(key)])
        elif key not in known and key not in refused and not str(key).startswith("x-"):
            judging.fault(part, "is not known here, so what it does can't be judged: take it out, or spell it as Compose does")


def why_of_the_host(name: str) -> str:
    """Say why a variable has another value on the host than the contract or a default says, empty where it has none."""
    if name not in _OF_THE_HOST and not name.startswith("COMPOSE_"):
        return ""
    own = "take another name, or write $$ for a variable of the container's own"
    return f"uses {name}, which Compose has by itself on the host, whatever .env or a default says: {own}"


def check_references(judging: Judging, top: Said) -> None:
    """Note every variable that a file uses and the contract lacks or can't decide, and every secret for which the file itself has a default."""
    for said in _texts(top):
        try:
            found = list(references(said.value))
        except UnresolvedError as doubt:
            judging.fault(said, str(doubt))
            continue
        for one in found:
            _check_reference(judging, said, one)


def _check_reference(judging: Judging, said: Said, one: Reference) -> None:
    if why := why_of_the_host(one.name):
        judging.fault(said, why)
        return
    if one.name not in judging.asked.known and one.operator[-1:] not in ("-", "+"):
        shown = f", ${{{one.name}:-…}}" if is_usual(one.name) else ""
        judging.fault(said, undeclared(one.name, f"declare it there, or give a default{shown}"))
    if (one.name in judging.asked.secrets or is_secret_name(one.name)) and one.operator[-1:] == "-" and one.word:
        judging.fault(said, f"gives the secret {one.name} a default, which everybody reads here: write ${{{one.name}:?}}")


def _texts(said: Said) -> Iterator[Said]:
    if isinstance(said.value, str):
        if "$" in said.value:
            yield said
        return
    held: Any = said.value
    if isinstance(held, Mapping | list):
        for _, part in said.parts():
            yield from _texts(part)
