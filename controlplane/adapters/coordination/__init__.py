"""The store of what several controllers share, in SQLite or PostgreSQL; the only importer of SQLAlchemy. ADR 13 says why."""

from __future__ import annotations

from controlplane.adapters.coordination.store import CoordinationStore, open_store

__all__ = ["CoordinationStore", "open_store"]
