"""The gate of a promotion: every line is computed, and only MET of all of them opens it.

Rules:
- UNKNOWN never opens it; a line that does not hold says what is missing and what would bring it.
- What was proven counts for this manifest alone, by its digest, and only after it was staged. The manifest itself names the run that tested it.
- Ages are judged at the present time; a receipt from the future proves nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from controlplane.domain.amounts import show_age
from controlplane.domain.coordination import GateRun, moment_of
from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.receipt import Receipt
from controlplane.domain.releases.history import Since
from controlplane.domain.releases.manifest import Manifest
from controlplane.domain.releases.own_gaps import OwnGaps
from controlplane.domain.releases.proof import Proof
from controlplane.domain.releases.smoke import SmokeReport, changed_files
from controlplane.domain.releases.values import ReleaseSpec
from controlplane.domain.values import Value

# What a run of gates has on record of a host instead of the digest of its facts.
UNREACHED = "unreached"
# What is missing beside a gate whose 'contract' does not hold.
UNPLANNED = "nothing can be planned before 'contract' holds: what would change, 'images', where data land, what Docker and way back of each host say"


class GateLine(Value):
    """One line of the gate: what has to hold, whether it does, why, and what to do where it does not."""

    name: str
    verdict: Verdict
    reason: str
    next: str | None = None


@dataclass(frozen=True)
class PromotionCase:
    """What the gate is judged on.

    `staged` is since which receipt each staging host has this very manifest, None where it has not; `running` are D249's findings there on fresh
    evidence.
    `unlike` are the services that production would run by another image than staging: production's digest and staging's, None where staging has no
    such service; None as long as nothing is staged.
    `over` names what failed in staging and was not taken back, None where nothing did.
    `smoked` is the newest smoke run of the stack in staging, `certified` the receipt of the newest recertification. `asked` are the files of
    staging's smoke tests as they are now (SHA-256 by path). `production` says why what was brought there before is not settled, None where it is;
    `refusals` are those of the plan that is to run. `faults` is what the check of production found; `unchecked` names what of it could not be
    checked. `unplanned` says that nothing can be planned of production's files, and `unread` that staging's can't be compared with what runs there:
    with the verdict and why, None where they can. `ready` says of each production host why it is not ready,
    None for one that is. `gaps` are those that are open in the loop. `pack` is the pack's newest run, `policy` the digest
    of the policy as it is now. `shut` and `unapproved` say why window and approval are missing, None where they are not.
    """

    stack: str
    spec: ReleaseSpec
    name: str
    manifest: Manifest
    now: datetime
    staged: Mapping[str, Since | None]
    running: Sequence[Finding]
    unlike: Mapping[str, tuple[str, str | None]] | None
    smoked: Proof | None
    production: str | None
    refusals: Sequence[str]
    asked: Mapping[str, str]
    certified: Receipt | None
    faults: Sequence[str]
    unchecked: str | None
    ready: Mapping[str, str | None]
    gaps: OwnGaps
    pack: GateRun | None
    policy: str
    shut: str | None
    unapproved: str | None
    over: str | None = None
    unplanned: tuple[Verdict, str] | None = None
    unread: tuple[Verdict, str] | None = None


def promotion_gate(case: PromotionCase) -> tuple[GateLine, ...]:
    """Return every line, in the order in which a person would bring them about."""
    return tuple(_lines(case))


def is_open(lines: Sequence[GateLine]) -> bool:
    """Say whether every line holds."""
    return bool(lines) and all(line.verdict is Verdict.MET for line in lines)


def _lines(case: PromotionCase) -> Iterator[GateLine]:
    yield _contract(case)
    yield _staged(case)
    if case.unlike is not None:
        yield _images(case, case.unlike)
    yield _smoke(case)
    yield _recert(case)
    if case.spec.promotion.pack is not None:
        yield _pack(case, case.spec.promotion.pack)
    yield _settled(case)
    if case.unplanned is not None:
        worst, doubt = case.unplanned
        step = f"mend what 'contract' names, then: controlplane release promote {case.stack} --dry-run"
        yield GateLine(name="plan", verdict=worst, reason=f"{UNPLANNED}{f': {doubt}' if doubt else ''}", next=step)
    if case.refusals:
        step = f"controlplane release promote {case.stack} --out FILE"
        yield GateLine(name="plan", verdict=Verdict.DRIFTED, reason=f"a part of it can't be done: {'; '.join(case.refusals)}", next=step)
    for host, why in sorted(case.ready.items()):
        step = f"controlplane ready {host}"
        yield GateLine(name=f"storage of {host}", verdict=_met(why is None), reason=why or "its ready receipt holds", next=step if why else None)
    yield _loop(case)
    yield GateLine(name="window", verdict=_met(case.shut is None), reason=case.shut or "it is open")
    yield GateLine(name="approval", verdict=_met(case.unapproved is None), reason=case.unapproved or "as the site asks")


def _met(holds: bool) -> Verdict:
    return Verdict.MET if holds else Verdict.DRIFTED


def _contract(case: PromotionCase) -> GateLine:
    step = f"controlplane release check {case.stack} --env production"
    if case.faults:
        return GateLine(name="contract", verdict=Verdict.DRIFTED, reason="; ".join(case.faults), next=step)
    if case.unchecked is not None:
        return GateLine(name="contract", verdict=Verdict.UNKNOWN, reason=case.unchecked, next=step)
    return GateLine(name="contract", verdict=Verdict.MET, reason="environment file, compose files and secrets are as they have to be")


def _staged(case: PromotionCase) -> GateLine:
    step = f"controlplane release stage {case.stack} --manifest {case.name} --out FILE"
    if case.over is not None:
        # Staged again it would have no steps where what stands runs still: what failed goes back first.
        back = f"controlplane release rollback {case.stack} --env staging"
        return GateLine(name="staged", verdict=Verdict.DRIFTED, reason=case.over, next=back)
    missing = sorted(host for host, since in case.staged.items() if since is None)
    if missing or not case.staged:
        where = ", ".join(missing) or "no host"
        return GateLine(name="staged", verdict=Verdict.DRIFTED, reason=f"{case.name} is not what {where} got last in staging", next=step)
    if case.unread is not None:
        verdict, why = case.unread
        check = f"controlplane release check {case.stack} --env staging"
        reason = f"what runs there, and 'images', can't be compared with the files of staging: {why}"
        return GateLine(name="staged", verdict=verdict, reason=reason, next=check)
    doubted = [finding for finding in case.running if finding.verdict is not Verdict.MET]
    silent = sorted(set(case.staged) - {finding.host for finding in case.running})
    if doubted or silent:
        worst = Verdict.UNKNOWN if silent or any(one.verdict is Verdict.UNKNOWN for one in doubted) else Verdict.DRIFTED
        told = [f"{one.host}: {one.reason}" for one in doubted] + [f"{host} was not judged" for host in silent]
        return GateLine(name="staged", verdict=worst, reason="; ".join(told), next=step)
    return GateLine(name="staged", verdict=Verdict.MET, reason=f"{', '.join(sorted(case.staged))} run its digests, healthy, on fresh evidence")


def _images(case: PromotionCase, unlike: Mapping[str, tuple[str, str | None]]) -> GateLine:
    """Judge what the manifest does not pin: images that the compose files of each environment name by themselves."""
    if not unlike:
        return GateLine(name="images", verdict=Verdict.MET, reason="production would run the very digests that staging runs, service by service")
    told = [
        f"{service} is in production alone, so nothing proved {here} in staging"
        if there is None
        else f"{service} runs {there} in staging, not {here}"
        for service, (here, there) in sorted(unlike.items())
    ]
    # What staging does not run at all was never seen to work, and never to fail.
    worst = Verdict.DRIFTED if any(there is not None for _, there in unlike.values()) else Verdict.UNKNOWN
    step = f"pin one image in the compose files of both, then stage that: controlplane release stage {case.stack} --manifest {case.name} --out FILE"
    return GateLine(name="images", verdict=worst, reason="; ".join(told), next=step)


def _smoke(case: PromotionCase) -> GateLine:
    step = f"controlplane release smoke {case.stack} --env staging"
    if case.smoked is None:
        return GateLine(name="smoke", verdict=Verdict.DRIFTED, reason="no smoke run in staging is on record", next=step)
    receipt, report = case.smoked
    told = _stale(receipt.at, case.now, case.spec.promotion.smoke_within)
    since = max((one for one in case.staged.values() if one is not None), default=None)
    if report.manifest != case.manifest.digest:
        told = f"the newest one met {report.manifest_name}, not {case.name}"
    elif not report.passed:
        failed = [test.name for test in report.tests if test.outcome != "passed"]
        told = report.doubt or f"{len(failed)} of {len(report.tests)} tests did not pass: {', '.join(failed[:3])}"
    elif receipt.outcome != "done":
        told = "the newest one did not end well"
    elif since is not None and receipt.seq < since.seq:
        told = "it was staged again since"
    elif changed := _asked_otherwise(case, report):
        told = f"staging asks for something else now: {', '.join(changed)}"
    elif case.manifest.tested_by != receipt.key:
        # It is the manifest that says to whoever reads it by what it was tested: a run that could not be put into it proves nothing to them.
        told = f"manifest {case.name} says tested_by {case.manifest.tested_by or 'nothing'}, not this run"
    if told is not None:
        return GateLine(name="smoke", verdict=Verdict.DRIFTED, reason=f"{receipt.key}: {told}", next=step)
    return GateLine(name="smoke", verdict=Verdict.MET, reason=f"{receipt.key}: {len(report.tests)} tests passed")


def _settled(case: PromotionCase) -> GateLine:
    if case.production is None:
        return GateLine(name="production", verdict=Verdict.MET, reason="what was brought there before is settled")
    return GateLine(name="production", verdict=Verdict.DRIFTED, reason=case.production, next=f"controlplane release status {case.stack}")


def _asked_otherwise(case: PromotionCase, report: SmokeReport) -> list[str]:
    """Return what of staging's smoke tests differs from those that were run: files, and addresses of services."""
    staging = case.spec.environments.get("staging")
    urls = changed_files(report.urls, staging.smoke.urls if staging is not None else {})
    return [*changed_files(report.files, case.asked), *(f"the address of {service}" for service in urls)]


def _recert(case: PromotionCase) -> GateLine:
    if not case.spec.recert:
        step = f"name them under recert in releases/{case.stack}.yml, then: controlplane release recert {case.stack} --manifest {case.name}"
        return GateLine(name="recert", verdict=Verdict.UNKNOWN, reason="the release names no command that certifies it", next=step)
    step = f"controlplane release recert {case.stack} --manifest {case.name}"
    receipt = case.certified
    if receipt is None:
        return GateLine(name="recert", verdict=Verdict.DRIFTED, reason="no recertification is on record", next=step)
    told = _stale(receipt.at, case.now, case.spec.promotion.recert_within)
    said = receipt.told or {}
    ran = [(str(one.get("name")), tuple(one.get("argv") or ()), one.get("dir")) for one in said.get("commands", [])]
    missing = [one.name for one in case.spec.recert if one.name not in [name for name, _, _ in ran]]
    otherwise = [one.name for one in case.spec.recert if (one.name, one.run, one.dir) not in ran]
    if said.get("manifest") != case.manifest.digest:
        told = f"the newest one is not of {case.name}"
    elif receipt.outcome != "done":
        told = receipt.reason or "the newest one did not end well"
    elif missing:
        told = f"it did not run {', '.join(missing)}"
    elif otherwise:
        told = f"the release names another command now for {', '.join(otherwise)}"
    if told is not None:
        return GateLine(name="recert", verdict=Verdict.DRIFTED, reason=f"{receipt.key}: {told}", next=step)
    return GateLine(name="recert", verdict=Verdict.MET, reason=f"{receipt.key}: {len(ran)} commands ended well")


def _pack(case: PromotionCase, pack: str) -> GateLine:
    step = f"controlplane gates run {pack}"
    if case.pack is None:
        return GateLine(name=f"pack {pack}", verdict=Verdict.DRIFTED, reason="no run of it is on record", next=step)
    told = pack_fault(case.pack, policy=case.policy, hosts=_production_hosts(case))
    told = told or _stale(case.pack.at, case.now, case.spec.promotion.recert_within)
    if told is not None:
        word = Verdict.UNKNOWN if any(one.verdict == "UNKNOWN" for one in case.pack.results if not one.passed) else Verdict.DRIFTED
        return GateLine(name=f"pack {pack}", verdict=word, reason=f"{case.pack.run}: {told}", next=step)
    return GateLine(name=f"pack {pack}", verdict=Verdict.MET, reason=f"{case.pack.run} passed")


def pack_fault(run: GateRun, *, policy: str, hosts: Collection[str]) -> str | None:
    """Return why a run of a pack says nothing good of these hosts by the policy as it is, None where it does."""
    failed = [one for one in run.results if not one.passed]
    unseen = sorted(host for host in hosts if run.hosts.get(host, UNREACHED) == UNREACHED)
    if run.policy != policy:
        return "the policy changed since"
    if failed or not run.results:
        return f"{', '.join(dict.fromkeys(one.check for one in failed))} did not pass" if failed else "it judged no check"
    return f"it did not look at {', '.join(unseen)}" if unseen else None


def _production_hosts(case: PromotionCase) -> set[str]:
    production = case.spec.environments.get("production")
    return set(production.hosts) if production is not None else set()


def _loop(case: PromotionCase) -> GateLine:
    left, loop = case.gaps.open, case.spec.loop
    if case.gaps.doubt is not None:
        return GateLine(name="gaps", verdict=Verdict.UNKNOWN, reason=case.gaps.doubt, next=case.gaps.step)
    if left:
        told = f"{', '.join(left)} {'is' if len(left) == 1 else 'are'} open in {loop}"
        return GateLine(name="gaps", verdict=Verdict.DRIFTED, reason=told, next=f"controlplane gaps close {left[0]}")
    return GateLine(name="gaps", verdict=Verdict.MET, reason=f"none is open in {loop}")


def _stale(at: str, now: datetime, within: int) -> str | None:
    age = now - moment_of(at)
    if age > timedelta(seconds=within):
        return f"it is {show_age(age)} old, limit {show_age(timedelta(seconds=within))}"
    return "it is from the future" if age < -timedelta(minutes=5) else None
