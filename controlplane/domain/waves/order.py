"""In which order a wave changes its hosts, and when it stops because too many failed.

The first host goes alone (canary), the others `batch` at a time; the failure limit is looked at between two batches, so that a batch that began ends.
A host that failed earlier in the wave counts as one that failed now.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from controlplane.domain.waves.values import Wave


def batch_of(wave: Wave, host: str, hosts: Sequence[str]) -> int:
    """Return the number of the batch that a host belongs to, 0 for the canary."""
    place = list(hosts).index(host)
    return 0 if place == 0 else 1 + (place - 1) // wave.batch


def left_alone(wave: Wave, failed: Collection[str]) -> dict[str, str]:
    """Return the hosts of a wave that no change set of it begins any more, with the reason."""
    told = {host: stop_before(wave, host, wave.hosts, failed) for host in wave.hosts if host not in failed}
    return {host: why for host, why in told.items() if why is not None}


def stop_before(wave: Wave, host: str, hosts: Sequence[str], failed: Collection[str]) -> str | None:
    """Return why this host is not begun: more failed in the batches before it than the wave allows."""
    mine = batch_of(wave, host, hosts)
    before = [one for one in hosts if one in failed and batch_of(wave, one, hosts) < mine]
    if len(before) <= wave.failure_limit:
        return None
    return f"{len(before)} of {len(hosts)} hosts failed ({', '.join(before)}), limit {wave.failure_limit}"
