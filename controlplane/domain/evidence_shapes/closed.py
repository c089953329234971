"""What makes a shape exact: no other key, no value of another type."""

from __future__ import annotations

from pydantic import ConfigDict, with_config

closed = with_config(ConfigDict(extra="forbid", strict=True))
