"""Everything that a wave touches, and what each of its verbs begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from controlplane.domain.coordination import WaveHeld
from controlplane.domain.digest import digest_of
from controlplane.domain.errors import Fault, InputInvalidError, RefusedError
from controlplane.domain.governance import Governance
from controlplane.domain.receipt import Outcome, Receipt
from controlplane.domain.run_key import make_run_key
from controlplane.domain.site_view import SiteView
from controlplane.domain.waves.record import OpenedBy, WaveRecord, record_of
from controlplane.domain.waves.trail import settled
from controlplane.domain.waves.values import Wave
from controlplane.ports.waves import BackupProof, SiteHistory, WaveFolder, WaveStore
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.apply_plan import ApplyPorts
from controlplane.usecases.record_run import STAMP, Ledger
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


def files_of(wave: Wave, site: WaveSite) -> OpenedBy:
    """Return the digests of what a wave is led by: of values, so that neither a comment nor a field that is new to this program counts."""
    gates = site.view.gates
    asked = any(gate.kind == "promotable" or (gate.kind == "stable" and gate.interval is None) for gate in (*wave.entry, *wave.exit))
    pack = gates.packs[wave.pack].checks if wave.pack is not None else ()
    own = {name: one.model_dump(mode="json", exclude_defaults=True) for name, one in gates.checks.items() if name in (*pack, *wave.checks)}
    used = {"pack": pack, "checks": own, "promotion": gates.promotion.model_dump(mode="json", exclude_defaults=True) if asked else {}}
    expected = [one.model_dump(mode="json", exclude_defaults=True) for one in gates.expected if one.check in (*pack, *wave.checks)]
    return OpenedBy(
        wave=digest_of(wave.model_dump(mode="json", exclude_defaults=True)),
        gates=digest_of(used),
        policy=site.view.policy_digest,
        site=digest_of(_terms(wave, site.view)),
        expected=digest_of(expected),
    )


def _terms(wave: Wave, view: SiteView) -> dict[str, Any]:
    """Return what a wave uses of site.yml: what bounds its changes, and the proof of a backup where it asks for one."""
    controlled = wave.mutation == "controlled"
    asks = controlled or any(gate.kind == "backup" for gate in (*wave.entry, *wave.exit))
    found: dict[str, Any] = {"backup_gate": view.backup_gate.model_dump(mode="json", exclude_defaults=True) if asks and view.backup_gate else None}
    if controlled:
        windows = [one.model_dump(mode="json", exclude_defaults=True) for one in view.windows if not wave.windows]
        found |= {"approval": view.approval, "windows": windows, "timezone": view.timezone if windows or wave.windows else None}
    return found


def refuse_other_files(what: str, name: str, site: WaveSite, record: WaveRecord) -> None:
    """Raise `RefusedError` where the wave's file, or what it uses of gates.yml or site.yml, is another one than when it was opened.

    The policy may change until the run: each plan is bound to it.
    """
    if record.files is None:
        return
    now, then = files_of(site.wave(name), site), record.files
    # What is used depends on who uses it: where the wave's file is another one, that is all there is to say.
    told = [f"waves/{name}.yml"] if now.wave != then.wave else _otherwise(now, then)
    if told:
        raise RefusedError(
            f"{what}: {' and '.join(told)} changed since it was opened, and its gates would be others than those it was opened by. Nothing was "
            f"changed. Take that back; or end this attempt ({abort_command(name)}), and open the wave anew"
        )


def _otherwise(now: OpenedBy, then: OpenedBy) -> list[str]:
    told = ["what it uses of gates.yml (pack, checks, promotion)"] if now.gates != then.gates else []
    told += ["what gates.yml expects of its checks (expected)"] if then.expected not in (None, now.expected) else []
    return told + (["what it uses of site.yml (windows, timezone, approval, backup_gate)"] if then.site not in (None, now.site) else [])


def loaded(ports: WavePorts) -> tuple[Receipt, ...]:
    """Return the chain of receipts. Signatures take two processes a receipt; what runs gates or a plan has them checked there, by `sound_chain`."""
    return tuple(receipt for _, receipt in ports.apply.receipts.load())


def new_record(wave: Wave, site: WaveSite, ports: WavePorts, head: str | None) -> WaveRecord:
    """Return the record of an attempt that begins now; two that begin in one second leave their files apart."""
    now = ports.apply.clock.now()
    attempt = f"{now:%Y%m%d-%H%M%S}-{ports.apply.entropy.four_hex()}"
    return WaveRecord(opened_by=site.operator, opened_at=now.strftime(STAMP), attempt=attempt, head=head, files=files_of(wave, site), hosts=wave.seen)


def held_wave(name: str, ports: WavePorts, operator: str) -> tuple[WaveHeld, WaveRecord]:
    """Return a wave that goes on and is this operator's, its runs as the receipts show them. Raises `RefusedError`."""
    # A clock that is behind the chain leads no wave.
    sound_chain(ports.apply.receipts, now=ports.apply.clock.now())
    held = ports.waves.find(name)
    if held is None or held.ended_at is not None:
        state = "was never opened" if held is None else f"is {held.state} since {held.ended_at}"
        raise RefusedError(f"wave {name} {state}. Nothing was changed. Open it: controlplane wave open {name}")
    if held.holder != operator:
        raise RefusedError(
            f"wave {name} is held by {held.holder} (state {held.state}, lease until {held.expires_at}). Nothing was changed. Leave it to them, or "
            f"go on with it: controlplane wave resume {name}"
        )
    return held, settled(record_of(held.record), loaded(ports))


@dataclass(frozen=True)
class Entry:
    """A receipt of what becomes of a wave itself: its intent is on the disk, `close` writes its result."""

    ledger: Ledger
    capability: str
    wave: str
    host: str

    @property
    def key(self) -> str:
        """Return the receipt's key."""
        return self.ledger.run

    def close(self, *, outcome: Outcome = "done", reason: str | None = None, evidence: str | None = None, told: dict[str, Any] | None = None) -> str:
        """Write what became of it, and return its key."""
        self.ledger.close(
            self.key, host=self.host, capability=self.capability, step=self.wave, outcome=outcome, reason=reason, evidence=evidence, told=told
        )
        return self.key


def begin_entry(
    verb: str, name: str, site: WaveSite, ports: WavePorts, *, host: str = "*", family: str = "wave", told: dict[str, Any] | None = None
) -> Entry:
    """Put on record what is about to become of a wave, or of a session; a kill before its result leaves the intent, which blocks nobody."""
    capability = f"{family}.{verb}"
    key = make_run_key(capability, ports.apply.clock.now(), ports.apply.entropy.four_hex())
    ledger = Ledger(
        ports.apply.receipts, ports.apply.clock, run=key, site=site.view.name, plan="", policy=site.view.policy_digest, operator=site.operator
    )
    ledger.intend(key, host=host, capability=capability, step=name, told=told)
    return Entry(ledger, capability, name, host)


def entry_of(verb: str, name: str, attempt: str, chain: Sequence[Receipt], *, host: str = "*") -> Receipt | None:
    """Return the receipt that says that this became of this attempt at the wave, None where none does."""
    return next(
        (
            one
            for one in chain
            if (one.phase, one.capability, one.step, one.host) == ("result", f"wave.{verb}", name, host)
            and one.outcome != "refused"
            and (one.told or {}).get("attempt") == attempt
        ),
        None,
    )


def close_command(name: str) -> str:
    """Return the command that closes a wave."""
    return f'controlplane wave close {name} --attest "..."'


def abort_command(name: str) -> str:
    """Return the command that ends a wave without its gates."""
    return f'controlplane wave abort {name} --reason "..."'


def without_end(message: str) -> str:
    """Return a refusal without the assurance that nothing was changed, for where something was."""
    return message.replace(" Nothing was changed.", "")
