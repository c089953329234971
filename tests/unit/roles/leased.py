"""Say that the lease is held, for verbs that are called in this process: the real one makes its process the leader of a group, and may end it."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from controlplane_target import lease_verbs


def claimed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the word with which a verb works as if under the lease; `test_target_verbs` asks each for the lease itself."""
    monkeypatch.setattr(lease_verbs, "held", lambda _home, _options: nullcontext())
    return ["--hold"]
