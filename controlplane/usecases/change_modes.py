"""gates promote, demote: propose a change of modes, and carry out one that a person approved.

Rules:
- A promotion is computed on fresh evidence, when it is proposed and once more when it is carried out; what has changed since is refused.
- What changes is the very file and fields that the proposal names, and the approval is bound to its digest and used once.
- A demotion needs no runs: only a person demotes, and says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from controlplane.domain.approval import as_told
from controlplane.domain.errors import RefusedError
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.gates.proposal import Proposal, demotions, promotions, seal
from controlplane.domain.run_key import make_run_key
from controlplane.domain.site_view import SiteView
from controlplane.ports import ApprovalStore, CheckerDigests, Clock, Entropy, GateRunStore, ModeFile, ReceiptStore
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.approval_guard import judge_approval
from controlplane.usecases.gate_standings import standings
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
) -> Proposal:
    """Return the proposal, sealed. Raises `RefusedError` with everything that holds it back."""
    digests = {host: digest for host, digest in host_digests(seen).items() if digest != "unreached"}
    stand = standings(site, checks=checks, hosts=hosts, runs=ports.runs, checkers=ports.checkers, seen=digests)
    changes = promotions(stand) if kind == "promote" else demotions(stand)
    if not changes:
        held = "enforce" if kind == "promote" else "report"
        raise RefusedError(f"nothing to {kind}: {', '.join(checks)} {'is' if len(checks) == 1 else 'are'} in {held} mode there. Nothing was changed.")
    return seal(
        kind=kind,
        site=site.name,
        made_at=ports.clock.now().strftime(STAMP),
        requester=requester,
        reason=reason,
        file=ports.file.name,
        file_digest=ports.file.digest(),
        policy=site.policy_digest,
        changes=changes,
    )


def carry_out(
    proposal: Proposal, site: SiteView, *, seen: Mapping[str, Evidence | Unreached], operator: str, ports: ModePorts, author: str | None = None
) -> str:
    """Write the modes that an approved proposal names; return the key of the receipt. Raises `RefusedError`: then nothing was changed.

    `author` is whose key signed the proposal, where the site has signers: nobody approves what they proposed where it demands another person.
    """
    now = ports.clock.now()
    chain = [receipt for _, receipt in sound_chain(ports.receipts, now=now)]
    told = [reason for holds, reason in (
        (proposal.site == site.name, f"it was made for site {proposal.site}, this is {site.name}"),
        (proposal.policy == site.policy_digest, "the policy changed since it was made"),
        (proposal.file_digest == ports.file.digest(), f"{ports.file.name} changed since it was made"),
    ) if not holds]  # fmt: skip
    if told:
        raise RefusedError(f"proposal {proposal.proposal[:19]} refused: {'; '.join(told)}. Nothing was changed. Make a new one.")
    approval, objected = judge_approval(
        proposal.proposal, demanded=site.approval, operator=operator, approvals=ports.approvals, chain=chain, run=None, now=now, author=author
    )
    if objected is not None:
        raise RefusedError(f"proposal {proposal.proposal[:19]} refused: {objected}. Nothing was changed.")
    if proposal.kind == "promote":
        checks, hosts = tuple({c.check: None for c in proposal.changes}), tuple({c.host: None for c in proposal.changes})
        digests = {host: digest for host, digest in host_digests(seen).items() if digest != "unreached"}
        stand = standings(site, checks=checks, hosts=hosts, runs=ports.runs, checkers=ports.checkers, seen=digests)
        wanted = {(change.check, change.host) for change in proposal.changes}
        promotions(tuple(one for one in stand if (one.check, one.host) in wanted))
    key = make_run_key(f"gates.{proposal.kind}", now, ports.entropy.four_hex())
    ledger = Ledger(ports.receipts, ports.clock, run=key, site=site.name, plan="", policy=site.policy_digest, operator=operator)
    capability = f"gates.{proposal.kind}"
    ledger.intend(key, host="*", capability=capability, step=ports.file.name, told=as_told(approval))
    if site.approval != "none":
        ports.approvals.use(proposal.proposal, key)
    ports.file.write(proposal.changes)
    ledger.close(
        key,
        host="*",
        capability=capability,
        step=ports.file.name,
        outcome="done",
        reason=proposal.reason or None,
        evidence=proposal.proposal,
        told={"changes": [change.model_dump(mode="json") for change in proposal.changes], "file": ports.file.digest()},
    )
    return key
