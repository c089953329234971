"""Which keys of daemon.json bring Docker's default log options within the policy, and which containers keep others all the same.

Rules:
- What drifts is D243's own judgement, so that a plan and its check can't disagree.
- The driver stays as it is, and so does every option but the limits; a driver that doesn't write files of its own is left alone.
- The same key as a flag and in daemon.json keeps dockerd down (moby/moby, daemon configuration conflicts): with such a flag nothing is merged.
- log-driver and log-opts are not among what dockerd reloads: they hold from its next start on, for containers that are created after it.
"""

from __future__ import annotations

from typing import Any

from controlplane.domain.checks.log_rotation import default_for_new, excess
from controlplane.domain.evidence import Reader
from controlplane.domain.policy import LogLimits

_FLAGS = ("--log-driver", "--log-opt")


def log_limits(wanted: LogLimits | None, reader: Reader) -> tuple[dict[str, Any], str]:
    """Return (the keys to set, none where the default is as declared; why they can't be set). Raises `Unobserved`."""
    if wanted is None:
        return {}, ""
    config = reader.docker_config
    driver, options = default_for_new(config["daemon_json"], config["dockerd_flags"])
    fault = excess(driver, options, wanted)
    if not fault:
        return {}, ""
    flags = sorted(flag for flag in set(config["dockerd_flags"]) if flag.split("=", 1)[0] in _FLAGS)
    if flags:
        told = f"dockerd is started with {', '.join(flags)}, and the same key in daemon.json would keep it down: remove the flag"
        return {}, f"new containers: {fault}; {told}"
    # Nothing but daemon.json gave them, as no flag does.
    limits = {**options, "max-file": str(wanted.max_files), "max-size": str(wanted.max_size)}
    if wanted.max_files == 1 and (driver == "local" or options.get("compress") == "true"):
        # Only rotated files are compressed; Docker refuses to create a container that asks for it with a single file.
        limits["compress"] = "false"
    return {"log-driver": driver, "log-opts": limits}, ""


def keeping_other_options(wanted: LogLimits | None, reader: Reader) -> list[str]:
    """Return the containers whose own options are not as declared: they keep them for as long as they live."""
    return sorted(seen["name"] for seen in reader.containers if excess(seen["log_driver"], seen["log_options"], wanted))
