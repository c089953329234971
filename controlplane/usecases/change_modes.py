"""gates promote, demote: propose a change of modes, and carry out one that a person approved.

Rules:
- A promotion is computed on fresh evidence, when it is proposed and once more when it is carried out; what has changed since is refused. The
  checks themselves, this program's and the site's, have to pass then as well: what fills up changes no digest, nor does what a site's file reads.
- What changes is the very file and fields that the proposal names, all of them and nothing beyond: a proposal that some other hand wrote is
  refused. The approval is bound to its digest and used once; its approver is not who asked, where the site says so. One is needed on every site:
  what site.yml says of approvals is whose it may be, and `none` is about plans.
- The file is locked from the comparison to the writing, and its new text is made before the first receipt, which names changes and digest: where a
  kill came between the writing and the last receipt, the same call finds the file as that says, and puts on record what was done.
- An editor or git asks no lock, and checks and signatures take minutes: the text is made from the file that was approved, and a file that is another
  right before it would be written is left as it is. The receipt that was signed by then ends as failed.
- A demotion needs no runs: only a person demotes, and says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from controlplane.domain.approval import as_told
from controlplane.domain.checks import CHECKS
from controlplane.domain.errors import ControlPlaneError, RefusedError, RunFailedError
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.finding import Finding
from controlplane.domain.gates.catalogue import known_checks
from controlplane.domain.gates.marks import marked
from controlplane.domain.gates.passing import Passing, passings
from controlplane.domain.gates.promotion import Standing
from controlplane.domain.gates.proposal import ModeChange, Proposal, demotions, promotions, seal
from controlplane.domain.gates.values import SITE
from controlplane.domain.receipt import Receipt
from controlplane.domain.run_key import make_run_key
from controlplane.domain.site_view import SiteView
from controlplane.ports.clocks import Clock, Entropy
from controlplane.ports.gates import CheckerDigests, GateRunStore, ModeFile, SiteChecks
from controlplane.ports.receipts import ApprovalStore, ReceiptStore
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.approval_guard import judge_approval
from controlplane.usecases.audit import judge
from controlplane.usecases.gate_standings import order_of, standings
from controlplane.usecases.record_run import STAMP, Ledger
from controlplane.usecases.run_gates import host_digests


@dataclass(frozen=True)
class ModePorts:
    """Everything that a change of modes touches."""

    clock: Clock
    entropy: Entropy
    receipts: ReceiptStore
    approvals: ApprovalStore
    runs: GateRunStore
    checkers: CheckerDigests
    site_checks: SiteChecks
    file: ModeFile


def propose(
    site: SiteView,
    kind: Literal["promote", "demote"],
    *,
    checks: Sequence[str],
    hosts: Sequence[str],
    seen: Mapping[str, Evidence | Unreached],
    requester: str,
    reason: str,
    ports: ModePorts,
    stood: tuple[Standing, ...] | None = None,
) -> Proposal:
    """Return the proposal, sealed. Raises `RefusedError` with everything that holds it back.

    `stood` is what `considered` said a moment ago, where it was asked: the site's checks are not run twice then.
    """
    if stood is None:
        stood = considered(site, checks=checks, hosts=hosts, seen=seen if kind == "promote" else None, ports=ports)
    changes = _changes(kind, stood)
    if not changes:
        held = "enforce" if kind == "promote" else "report"
        raise RefusedError(f"nothing to {kind}: {', '.join(checks)} {'is' if len(checks) == 1 else 'are'} in {held} mode there. Nothing was changed.")
    return seal(
        kind=kind,
        site=site.name,
        made_at=ports.clock.now().strftime(STAMP),
        requester=(ports.approvals.signs_as() if site.approval == "other" else None) or requester,
        reason=reason,
        file=ports.file.name,
        file_digest=ports.file.digest(),
        policy=site.policy_digest,
        changes=changes,
    )


def considered(
    site: SiteView, *, checks: Sequence[str], hosts: Sequence[str], seen: Mapping[str, Evidence | Unreached] | None, ports: ModePorts
) -> tuple[Standing, ...]:
    """Return how these checks stand; with `seen` on that evidence, and held back by what does not pass now. The site's own checks are run then."""
    now, began = ports.clock.now(), order_of(ports.receipts)
    if seen is None:
        return standings(site, checks=checks, hosts=hosts, runs=ports.runs, checkers=ports.checkers, began=began, now=now)
    digests = {host: digest for host, digest in host_digests(seen).items() if digest != "unreached"}
    found = standings(site, checks=checks, hosts=hosts, runs=ports.runs, checkers=ports.checkers, began=began, now=now, seen=digests)
    desired = [one for one in site.desired.hosts if one.host in seen]
    report = judge(seen, desired, only=frozenset(checks) & CHECKS.keys(), site=site, now=now, max_age=site.max_age, digests=False)
    judged = passings((*report.findings, *_own_findings(site, checks, hosts, ports)), site.registers)
    by_place = {(one.check, one.host): one for one in judged}
    return tuple(_held(one, _fails_now(one, by_place, own=one.check in site.gates.checks)) for one in found)


def _own_findings(site: SiteView, checks: Sequence[str], hosts: Sequence[str], ports: ModePorts) -> tuple[Finding, ...]:
    """Run those of these checks that are the site's own, on these hosts where they look at machines; without hosts on all, as a run of gates does."""
    own = {check: held for check, held in site.gates.checks.items() if check in checks}
    if not own:
        return ()
    governed = tuple(host for host in hosts if host in site.desired.by_name())
    return marked(ports.site_checks.run(own, [route for _, route in site.chosen(governed)]), site.gates, site.registers)


def _fails_now(one: Standing, judged: Mapping[tuple[str, str], Passing], *, own: bool) -> str | None:
    """Return why a check does not pass where it stands; a file that did not run to its end (UNKNOWN on the site) says so of every host."""
    on_site = judged.get((one.check, SITE))
    if own and on_site is not None and on_site.verdict == "UNKNOWN":
        return f"as it is now: UNKNOWN: {on_site.reason}"
    said = judged.get((one.check, one.host))
    if said is None:
        return "as it is now: nothing was judged of it" if own else None
    return None if said.passed else f"as it is now: {said.verdict}: {said.reason}"


def _held(one: Standing, why: str | None) -> Standing:
    if why is None or one.mode == "enforce":
        return one
    return one.model_copy(update={"held_by": (*one.held_by, why), "proposes": None})


def _changes(kind: Literal["promote", "demote"], stand: tuple[Standing, ...]) -> tuple[ModeChange, ...]:
    return promotions(stand) if kind == "promote" else demotions(stand)


def carry_out(
    proposal: Proposal, site: SiteView, *, seen: Mapping[str, Evidence | Unreached], operator: str, ports: ModePorts, author: str | None = None
) -> str:
    """Write the modes that an approved proposal names; return the key of the receipt. Raises `RefusedError`: then nothing was changed.

    `author` is whose key signed the proposal, where the site has signers: nobody approves what they proposed where it demands another person.
    """
    with ports.file.editing():
        now = ports.clock.now()
        chain = [receipt for _, receipt in sound_chain(ports.receipts, now=now)]
        written = _written_already(proposal, chain, ports)
        if written is not None:
            return _done(written.key, proposal, site, operator, ports)
        _refuse_unless_bound(proposal, site, ports)
        demanded: Literal["self", "other"] = "self" if site.approval == "none" else site.approval
        approval, objected = judge_approval(
            proposal.proposal, demanded=demanded, operator=operator, approvals=ports.approvals, chain=chain, run=None, now=now, author=author
        )
        if site.approval == "none" and approval is None:
            objected = (
                "a mode is changed only with an approval, also where site.yml says approval: none, and this has none: run 'controlplane approve' on "
                "its file (your own will do; approval: other in site.yml demands somebody else's)"
            )
        if objected is None and site.approval == "other" and approval is not None and approval.approver == proposal.requester:
            objected = f"site.yml demands another person's approval, and {approval.approver} asked for it"
        if objected is not None:
            raise RefusedError(f"proposal {proposal.proposal[:19]} refused: {objected}. Nothing was changed.")
        _refuse_unless_due(proposal, site, seen, ports)
        new = ports.file.prepared(proposal.changes)
        if new.was != proposal.file_digest:
            raise RefusedError(
                f"proposal {proposal.proposal[:19]} refused: {ports.file.name} changed while its checks ran. Nothing was changed. Make a new one."
            )
        capability = f"gates.{proposal.kind}"
        key = make_run_key(capability, now, ports.entropy.four_hex())
        told = {**(as_told(approval) or {}), "proposal": proposal.proposal, **_as_told(proposal, ports.file.digest(new.text))}
        _ledger(key, site, operator, ports).intend(key, host="*", capability=capability, step=ports.file.name, told=told)
        ports.approvals.use(proposal.proposal, key)
        try:
            ports.file.write(new)
        except ControlPlaneError as error:
            _ledger(key, site, operator, ports).close(key, host="*", capability=capability, step=ports.file.name, outcome="failed", reason=str(error))
            raise _not_done(key, error) from error
        return _done(key, proposal, site, operator, ports)


def _written_already(proposal: Proposal, chain: Sequence[Receipt], ports: ModePorts) -> Receipt | None:
    """Return the intent of this proposal that was stopped once the file was what it says, None where there is none."""
    ended = {receipt.key for receipt in chain if receipt.phase == "result"}
    begun = [one for one in chain if one.phase == "intent" and one.capability == f"gates.{proposal.kind}" and one.key not in ended]
    wanted = {"proposal": proposal.proposal, **_as_told(proposal, ports.file.digest())}
    return next((one for one in begun if {name: (one.told or {}).get(name) for name in wanted} == wanted), None)


def _done(key: str, proposal: Proposal, site: SiteView, operator: str, ports: ModePorts) -> str:
    """Put on record that the file holds the proposal's modes, and return the key."""
    _ledger(key, site, operator, ports).close(
        key,
        host="*",
        capability=f"gates.{proposal.kind}",
        step=ports.file.name,
        outcome="done",
        reason=proposal.reason or None,
        evidence=proposal.proposal,
        told=_as_told(proposal, ports.file.digest()),
    )
    return key


def _not_done(key: str, error: ControlPlaneError) -> ControlPlaneError:
    """Return what says that the file could not be written, and what state things are in."""
    told = f"{error} No mode was changed, and receipt {key} says so. The approval is used up: make a new proposal, and let that be approved."
    return (RefusedError if isinstance(error, RefusedError) else RunFailedError)(told)


def _ledger(key: str, site: SiteView, operator: str, ports: ModePorts) -> Ledger:
    return Ledger(ports.receipts, ports.clock, run=key, site=site.name, plan="", policy=site.policy_digest, operator=operator)


def _as_told(proposal: Proposal, file: str) -> dict[str, Any]:
    """Return what receipts say of the changes, and of the file's digest after them."""
    return {"changes": [change.model_dump(mode="json") for change in proposal.changes], "file": file}


def _refuse_unless_bound(proposal: Proposal, site: SiteView, ports: ModePorts) -> None:
    told = [reason for holds, reason in (
        (proposal.site == site.name, f"it was made for site {proposal.site}, this is {site.name}"),
        (proposal.policy == site.policy_digest, "the policy changed since it was made"),
        (proposal.file == ports.file.name, f"it changes {proposal.file}, modes stand in {ports.file.name}"),
        (proposal.file_digest == ports.file.digest(), f"{ports.file.name} changed since it was made"),
    ) if not holds]  # fmt: skip
    if told:
        raise RefusedError(f"proposal {proposal.proposal[:19]} refused: {'; '.join(told)}. Nothing was changed. Make a new one.")


def _refuse_unless_due(proposal: Proposal, site: SiteView, seen: Mapping[str, Evidence | Unreached], ports: ModePorts) -> None:
    """Raise `RefusedError` unless these very changes are what would be proposed now."""
    checks, hosts = tuple(dict.fromkeys(c.check for c in proposal.changes)), tuple(dict.fromkeys(c.host for c in proposal.changes if c.host != SITE))
    wanted = {(change.check, change.host) for change in proposal.changes}
    known = [check for check in checks if check in known_checks(site.gates)]
    stand = considered(site, checks=known, hosts=hosts, seen=seen if proposal.kind == "promote" else None, ports=ports)
    due = {_edit(change) for change in _changes(proposal.kind, tuple(one for one in stand if (one.check, one.host) in wanted))}
    strange = [change for change in proposal.changes if _edit(change) not in due]
    if strange or not proposal.changes:
        told = "; ".join(f"{one.field}: {one.before} -> {one.after}" for one in strange) or "it changes nothing"
        raise RefusedError(
            f"proposal {proposal.proposal[:19]} refused: nothing on record would propose this: {told}. Nothing was changed. Make a new one."
        )


def _edit(change: ModeChange) -> tuple[str, str, str, str, str]:
    return change.check, change.host, change.field, change.before, change.after
