"""The present time and the only chance."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime


class SystemClock:
    """The controller's clock."""

    def now(self) -> datetime:
        """Return the present time, aware, UTC."""
        return datetime.now(UTC)  # noqa: TID251 - this is the Clock port's one implementation


class SystemEntropy:
    """The kernel's random numbers."""

    def four_hex(self) -> str:
        """Return four hex digits."""
        return secrets.token_hex(2)
