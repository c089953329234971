"""What goes wrong between a client and the server, at the n-th call of a kind.

`before` a call is served nothing has changed; `after` it the change is made, or its task has begun, and only the answer is lost. 596 is
what pveproxy answers when the daemon behind it did not answer in time: the change may have been made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal


@dataclass
class Fault:
    """One fault: which call it meets, and what the client sees of it."""

    method: str
    path: str
    kind: Literal["status", "reset", "hang"]
    when: Literal["before", "after"] = "before"
    nth: int = 1
    status: int = 500
    reason: str = "internal error"
    seconds: float = 30.0
    met: int = field(default=0, init=False)

    def meets(self, method: str, path: str) -> bool:
        """Count the calls of this kind and say whether this is the one."""
        if method != self.method or not re.fullmatch(self.path, path):
            return False
        self.met += 1
        return self.met == self.nth
