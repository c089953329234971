"""ready: judge one host on fresh evidence by two witnesses, and leave a receipt that says so and ends by itself.

Rules:
- The receipt names the evidence and the policy that it rests on. Where the host is not ready the receipt says that, so that an earlier one is void.
- Its intent is on record before the host is looked at, so that whatever is done to the host meanwhile makes it void.
- A waiver of which it sees a limit crossed is over for good: the receipt says so.
- Nothing on the host is changed.
- The plan that it gives deletes nothing that has to be asked for by name; such a capability is asked for what it would mend, and that is told.
"""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC

from controlplane.domain.capabilities import CAPABILITIES
from controlplane.domain.digest import digest_of
from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.evidence import Unreached
from controlplane.domain.plan import Plan
from controlplane.domain.planning import chosen_capabilities
from controlplane.domain.readiness import ID, Readiness, holds_until, judge_readiness, last_ready, void_because
from controlplane.domain.receipt import Receipt
from controlplane.domain.run_key import make_run_key
from controlplane.domain.site_view import SiteView
from controlplane.ports.clocks import Clock
from controlplane.ports.receipts import ReceiptStore
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.apply_plan import ApplyPorts
from controlplane.usecases.judge_hosts import judge_by_two
from controlplane.usecases.make_plan import plan_from, roles_digest
from controlplane.usecases.reboot_hosts import telling, were_rebooted
from controlplane.usecases.record_run import STAMP, Ledger
from controlplane.usecases.watch_waivers import as_told, crossed_now


def judge_ready(host: str, site: SiteView, *, operator: str, ports: ApplyPorts, rebooted: bool = False) -> tuple[Readiness, Plan]:
    """Return whether the host is ready, with the plan that the same evidence gives; `rebooted` says that this comes after `reboot_hosts`.

    Raises `InputInvalidError`, `RunFailedError`, `InterruptedRunError`.
    """
    ((desired, route),) = site.chosen((host,))
    begun = ports.clock.now()
    sound_chain(ports.receipts, now=begun)
    key = make_run_key(ID, begun, ports.entropy.four_hex())
    ledger = Ledger(ports.receipts, ports.clock, run=key, site=site.name, plan="", policy=site.policy_digest, operator=operator)
    ledger.intend(key, host=host, capability=ID, step="*")
    with telling(f"{were_rebooted((host,))} Next: controlplane ready {host}    (judges without another reboot)") if rebooted else nullcontext():
        seen = ports.evidence.collect([route], {host: desired})
        now = ports.clock.now()
        ended = crossed_now((desired,), seen, now=now, max_age=site.max_age)
        report = judge_by_two(site, hosts=(host,), seen=seen, now=now, witness=ports.witness)
    roles = roles_digest(ports.roles)
    plan, *by_name = [
        plan_from(site, hosts=(host,), seen=seen, capabilities=capabilities, now=now, roles=roles)
        for capabilities in (chosen_capabilities(()), *([one] for one in CAPABILITIES.values() if one.only_by_name))
    ]
    one = seen.get(host) or Unreached(host=host, reason="it gave no evidence")
    chain = [receipt for _, receipt in ports.receipts.load()]
    judged_at = now.strftime(STAMP)
    answer = judge_readiness(desired, one, report.findings, plan=plan, by_name=by_name, chain=chain, judged_at=judged_at, policy=site.policy_digest)
    expires = holds_until(desired, report.findings, now=now, ready_for=site.ready_for).astimezone(UTC).strftime(STAMP) if answer.ready else None
    ledger.close(
        key,
        host=host,
        capability=ID,
        step="*",
        outcome="done" if answer.ready else "failed",
        reason=None if answer.ready else "; ".join(f"{need.what}: {need.reason}" for need in answer.needs),
        evidence=answer.evidence_digest,
        expires_at=expires,
        route=digest_of(route.model_dump(mode="json")),
        told=as_told(ended),
    )
    return answer.model_copy(update={"receipt": key if answer.ready else None, "expires_at": expires}), plan


def standing_of(host: str, site: SiteView, *, clock: Clock, receipts: ReceiptStore) -> tuple[Receipt, str | None]:
    """Return the newest ready receipt of a host and why it no longer holds (None: it does). Makes no connection.

    Raises `InputInvalidError`, and `RefusedError` where the clock is behind the receipts: by it nothing would ever end.
    """
    ((_, route),) = site.chosen((host,))
    now = clock.now()
    chain = [receipt for _, receipt in sound_chain(receipts, now=now)]
    receipt = last_ready(chain, host)
    if receipt is None:
        raise InputInvalidError([Fault("HOST", 0, "", f"{host} was never judged: run 'controlplane ready {host}'")])
    return receipt, void_because(receipt, chain, policy=site.policy_digest, route=digest_of(route.model_dump(mode="json")), now=now)
