"""Everything that a wave touches, and what each of its verbs begins with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from controlplane.domain.coordination import WaveHeld
from controlplane.domain.errors import Fault, InputInvalidError, RefusedError
from controlplane.domain.governance import Governance
from controlplane.domain.receipt import Outcome
from controlplane.domain.run_key import make_run_key
from controlplane.domain.site_view import SiteView
from controlplane.domain.waves.record import WaveRecord, record_of
from controlplane.domain.waves.values import Wave
from controlplane.ports import BackupProof, SiteHistory, WaveFolder, WaveStore
from controlplane.usecases.apply_plan import ApplyPorts
from controlplane.usecases.record_run import WHOLE, Ledger
from controlplane.usecases.run_gates import GatePorts

# Between two verbs of one person nothing runs that could renew it.
TTL = timedelta(hours=4)


@dataclass(frozen=True)
class WavePorts:
    """The ports of applying and of gates, and those of waves alone."""

    apply: ApplyPorts
    gates: GatePorts
    waves: WaveStore
    folder: WaveFolder
    history: SiteHistory
    backup: BackupProof


@dataclass(frozen=True)
class WaveSite:
    """One site with what it says of waves, and who works on it."""

    view: SiteView
    governance: Governance
    operator: str

    def wave(self, name: str) -> Wave:
        """Return a wave. Raises `InputInvalidError` where there is none, or files that it rests on have faults."""
        waves = self.governance.checked_waves()
        if name not in waves:
            raise InputInvalidError([Fault("WAVE", 0, "", f"there is no {name} in {self.view.folder}/waves; there are {', '.join(waves) or 'none'}")])
        return waves[name]


def held_wave(name: str, ports: WavePorts, operator: str) -> tuple[WaveHeld, WaveRecord]:
    """Return a wave that goes on and is this operator's. Raises `RefusedError`."""
    held = ports.waves.find(name)
    if held is None or held.ended_at is not None:
        state = "was never opened" if held is None else f"is {held.state} since {held.ended_at}"
        raise RefusedError(f"wave {name} {state}. Nothing was changed. Open it: controlplane wave open {name}")
    if held.holder != operator:
        raise RefusedError(
            f"wave {name} is held by {held.holder} (state {held.state}, lease until {held.expires_at}). Nothing was changed. Leave it to them, or "
            f"go on with it: controlplane wave resume {name}"
        )
    return held, record_of(held.record)


def last_run_of(plan: str, ports: WavePorts) -> str | None:
    """Return the last run of a plan that is on record, open or ended: a killed controller could not say it of the wave itself."""
    chain = [receipt for _, receipt in ports.apply.receipts.load()]
    return next((one.run for one in reversed(chain) if one.plan == plan and one.capability == WHOLE), None)


def put_on_record(
    verb: str,
    name: str,
    site: WaveSite,
    ports: WavePorts,
    *,
    host: str = "*",
    family: str = "wave",
    outcome: Outcome = "done",
    reason: str | None = None,
    **more: object,
) -> str:
    """Leave a receipt of what became of a wave itself (or of a session), and return its key."""
    capability = f"{family}.{verb}"
    key = make_run_key(capability, ports.apply.clock.now(), ports.apply.entropy.four_hex())
    ledger = Ledger(
        ports.apply.receipts, ports.apply.clock, run=key, site=site.view.name, plan="", policy=site.view.policy_digest, operator=site.operator
    )
    ledger.intend(key, host=host, capability=capability, step=name)
    ledger.close(key, host=host, capability=capability, step=name, outcome=outcome, reason=reason, **more)  # type: ignore[arg-type] # the ledger's own
    return key
