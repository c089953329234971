"""Whether a host is without a Docker engine: what the collector did not find, held against what systemd shows."""

from __future__ import annotations

from controlplane.domain.evidence import Reader, Unobserved, is_absent

_UNITS = ("docker.service", "docker.socket")


def is_without_docker(reader: Reader) -> bool:
    """Say whether the host positively showed that no engine is installed. Raises `Unobserved` where systemd knows one all the same."""
    if not (is_absent(reader.evidence, "docker_info") and is_absent(reader.evidence, "docker_config")):
        return False
    units = reader.units
    for name in _UNITS:
        unit = units.get(name)
        if unit is None:
            raise Unobserved(f"no Docker engine was found, but {name} was not looked at")
        if unit["load_state"] != "not-found":
            state = f"{unit['load_state'] or 'in no known state'}{' from ' + unit['fragment'] if unit['fragment'] else ''}"
            raise Unobserved(
                f"no Docker engine was found, but {name} is {state}: an engine may lie at another path; see what that starts, or remove it"
            )
    return True
