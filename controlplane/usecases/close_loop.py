"""loops close: close a loop in which nothing is open. The runs that its gaps were closed on go with it."""

from __future__ import annotations

from controlplane.ports.registers import Entry
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.closing_record import Closing, ClosingPorts, bring_to_its_end, carry_out
from controlplane.usecases.edit_registers import STAMP, Edited, refuse_unknown, refuse_worse, with_edits

ID = "loops.close"


def close_loop(loop: str, *, by: str, ports: ClosingPorts) -> Edited:
    """Close a loop. Raises `RefusedError` where something in it is open."""
    with ports.registers.editing():
        before = ports.registers.read()
        held = before.governance.checked_registers()
        refuse_unknown(before, "loops", loop)
        now = ports.record.clock.now()
        chain = [one for _, one in sound_chain(ports.record.receipts, now=now)]
        if held.loops[loop].status != "open":
            return bring_to_its_end(Closing(ID, loop, by), held.loops[loop], before, chain, ports)
        gaps = {name: one for name, one in held.gaps.items() if loop in one.loops}
        runs = list(dict.fromkeys(run for one in gaps.values() if one.closed for run in one.closed.runs))
        closed = {"at": now.strftime(STAMP), "by": by, "runs": runs}
        entries = [Entry("loops", loop, "status", "closed"), Entry("loops", loop, "closed", closed)]
        refuse_worse(before, with_edits(held, entries))
        closing = Closing(ID, loop, by, closed, more={"gaps": list(gaps)})
        return carry_out(closing, ports.registers.prepared(entries), before, now, ports)
