"""What alembic runs: the scripts, in the transaction that migrate.py began."""

from __future__ import annotations

from alembic import context

from controlplane.adapters.coordination.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # SQLite can; alembic does not rely on it by itself.
    transactional_ddl=True,
)
context.run_migrations()
