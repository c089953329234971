"""session start: look once, compare with the last session, and say what is open and what is proposed."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.digest import digest_of
from controlplane.domain.finding import AuditReport
from controlplane.domain.gates.catalogue import gated_checks
from controlplane.domain.gates.run_order import beginnings
from controlplane.domain.receipt import Receipt, open_intents
from controlplane.domain.session import SessionStart, compared, remembered
from controlplane.domain.site_view import SiteView
from controlplane.domain.waiver_ends import WaiverEnd
from controlplane.ports.sites import SessionStore
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.audit import judge, refuse_one_machine_twice
from controlplane.usecases.collect_evidence import collect_site
from controlplane.usecases.gate_standings import standings
from controlplane.usecases.record_run import STAMP
from controlplane.usecases.show_waves import wave_rows
from controlplane.usecases.watch_waivers import as_told, crossed_now
from controlplane.usecases.wave_ports import WavePorts, WaveSite, begin_entry


def start_session(site: WaveSite, ports: WavePorts, sessions: SessionStore, *, hosts: tuple[str, ...]) -> SessionStart:
    """Return where things stand on fresh evidence, and leave a receipt of it. Nothing on a host is changed.

    Raises `RunFailedError` where what the last session saw can't be read: it is neither a first session nor written over.
    """
    chain = [receipt for _, receipt in sound_chain(ports.apply.receipts, now=ports.apply.clock.now())]
    last = sessions.last()
    report, ended = _looked(site.view, hosts, ports)
    seen = {row.host for row in report.hosts}
    before = [one for one in last.findings if one.host in seen] if last is not None else []
    drifted, mended = compared(report.findings, before) if last is not None else ((), ())
    registers = site.governance.checked_registers()
    names = [row.host for row in report.hosts]
    stand = standings(
        site.view,
        checks=gated_checks(site.view.gates),
        hosts=names,
        runs=ports.gates.runs,
        checkers=ports.gates.checkers,
        began=beginnings(chain),
        now=ports.apply.clock.now(),
    )
    made = SessionStart(
        site=report.site,
        at=ports.apply.clock.now().strftime(STAMP),
        operator=site.operator,
        since=last.judged_at if last is not None else None,
        lost=_lost(chain, sessions.name) if last is None else None,
        report=report,
        drifted=drifted,
        mended=mended,
        open_runs=tuple(dict.fromkeys(receipt.run for receipt in open_intents(chain))),
        waves=tuple(row for row in wave_rows(site, ports) if row["state"] not in ("not opened", "closed", "aborted")),
        gaps=_counted([gap.status for gap in registers.gaps.values()]),
        loops=_counted([loop.status for loop in registers.loops.values()]),
        proposed=tuple(f"{one.proposes} {one.check} on {one.host}" for one in stand if one.proposes),
        ended=ended,
    )
    key = begin_entry("start", "*", site, ports, family="session").close(evidence=digest_of(made.model_dump(mode="json")), told=as_told(ended))
    # Last of all: of a session that was cut off nobody was told, so the next one compares with the one before it.
    sessions.keep(remembered(report, last, site.view.desired.by_name()))
    return made.model_copy(update={"receipt": key})


def _looked(site: SiteView, hosts: tuple[str, ...], ports: WavePorts) -> tuple[AuditReport, tuple[WaiverEnd, ...]]:
    """Look once; return what is judged of it, and the waivers of which a limit is crossed."""
    desired = [one for one, _ in site.chosen(hosts)]
    seen = collect_site(site, hosts=hosts, evidence=ports.apply.evidence)
    refuse_one_machine_twice(seen, [one.host for one in desired])
    now = ports.apply.clock.now()
    report = judge(seen, desired, only=None, site=site, now=now, max_age=site.max_age)
    return report, crossed_now(desired, seen, now=now, max_age=site.max_age)


def _lost(chain: Sequence[Receipt], name: str) -> str | None:
    """Return why there is nothing to compare with though this is not the first session; None where it is."""
    earlier = [one.key for one in chain if one.capability == "session.start" and one.outcome == "done"]
    if not earlier:
        return None
    return (
        f"{name} is gone, or {earlier[-1]} was cut off before it kept what it saw: nothing is compared. Restore the file from a copy, if there is one"
    )


def _counted(states: list[str]) -> dict[str, int]:
    return {state: states.count(state) for state in sorted(set(states))}
