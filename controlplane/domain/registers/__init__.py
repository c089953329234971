"""The registers of a site: gaps, loops and STOR findings, and how they are linked.

Values in `values`, what must hold between them in `rules`, what one finding leads to in `links`, and when a gap may be closed in `closing`.
"""

from __future__ import annotations

from controlplane.domain.registers.values import Closed, Gap, Loop, Registers, StorFinding

__all__ = ["Closed", "Gap", "Loop", "Registers", "StorFinding"]
