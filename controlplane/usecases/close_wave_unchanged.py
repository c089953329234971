"""What a wave that only looks leaves as it is: nothing that governs the site changes between its opening and its closing.

Rules:
- Compared are values, so that neither a comment nor a field that is new to this program counts.
- Who changes such files leads a wave of `mutation: governance`, or does it after this one, as gaps are closed on what it showed.
"""

from __future__ import annotations

from typing import Any

from controlplane.domain.digest import digest_of
from controlplane.domain.errors import RefusedError
from controlplane.domain.values import Value
from controlplane.domain.waves.record import WaveRecord
from controlplane.domain.waves.values import Wave
from controlplane.usecases.wave_ports import WaveSite, abort_command


def governing(wave: Wave, site: WaveSite) -> dict[str, str] | None:
    """Return the digest of each kind of file that governs the site, by its name; None for a wave that may change them."""
    if wave.mutation != "none":
        return None
    held, registers = site.governance, site.governance.registers
    return {
        "policy.yml": site.view.policy_digest,
        "gates.yml": digest_of(_plain(held.gates)),
        "registers/": digest_of(_plain(registers) if registers is not None else None),
        "waves/": digest_of({name: _plain(one) for name, one in sorted(held.waves.items())}),
    }


def refuse_changed_governing(name: str, wave: Wave, site: WaveSite, record: WaveRecord) -> None:
    """Raise `RefusedError` where a wave that only looks was open while such files changed. Records from before they were kept are not asked."""
    now, then = governing(wave, site), record.governing
    if now is None or then is None:
        return
    told = [kind for kind, digest in now.items() if then.get(kind, digest) != digest]
    if told:
        raise RefusedError(
            f"wave {name} does not close, it stays open: {' and '.join(told)} changed since it was opened, and it only looks (mutation: none). "
            f"Take that back, and change it after the wave; or end this attempt ({abort_command(name)}), and open the wave anew. "
            "A wave that changes the site's own files says mutation: governance"
        )


def _plain(value: Value) -> Any:
    return value.model_dump(mode="json", exclude_defaults=True)
