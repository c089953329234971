"""What `release stage`, `promote` and `rollback` answer."""

from __future__ import annotations

from typing import Annotated, Literal

from controlplane.domain.names import AsTuple
from controlplane.domain.releases.gate import GateLine
from controlplane.domain.releases.smoke import SmokeReport
from controlplane.domain.run_result import RunResult
from controlplane.domain.values import Value


class ReleaseResult(Value):
    """The JSON of these verbs. `deployed` is the run of the plan, `proof` the smoke run after it, `returned` the runs that were taken back.

    `outcome` is that of the whole: a deployment that was proven wrong and taken back is `rolled-back`, and no success.
    """

    stack: str
    environment: str
    manifest: str
    outcome: Literal["done", "failed", "rolled-back", "interrupted"]
    gate: Annotated[tuple[GateLine, ...], AsTuple] = ()
    deployed: RunResult | None = None
    proof: SmokeReport | None = None
    returned: Annotated[tuple[RunResult, ...], AsTuple] = ()
    messages: Annotated[tuple[str, ...], AsTuple] = ()
    # A rollback that was asked for is what was wanted; one that came by itself means that the promotion failed.
    asked_back: bool = False

    def exit_code(self) -> Literal[0, 1, 130]:
        """Return 0 only where what was asked for is there and proven."""
        if self.outcome == "interrupted":
            return 130
        return 0 if self.outcome == "done" or (self.outcome == "rolled-back" and self.asked_back) else 1
