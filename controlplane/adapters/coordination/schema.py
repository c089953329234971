"""The tables, as the newest migration leaves them. A test compares the two."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, MetaData, Table, Text, and_

# The newest of migrations/versions. Named here, so that an up-to-date store opens without alembic.
HEAD = "0002"
VERSION_TABLE = "controlplane_version"

metadata = MetaData()
# SQLite numbers rows by itself only for this exact type.
_Number = BigInteger().with_variant(Integer(), "sqlite")

# One row. Who writes anything locks it first, so that one writes at a time.
ledger = Table(
    "controlplane_ledger",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seen_at", Text),
    Column("last_token", BigInteger, nullable=False),
)

waves = Table(
    "controlplane_waves",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("wave", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("mutating", Boolean, nullable=False),
    Column("holder", Text, nullable=False),
    Column("token", BigInteger, nullable=False, unique=True),
    Column("expires_at", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("opened_at", Text, nullable=False),
    Column("taken_at", Text, nullable=False),
    Column("ended_at", Text),
)
Index("controlplane_waves_wave", waves.c.wave)
_going_on = waves.c.ended_at.is_(None)
# The two rules once more, by the database itself: one attempt at a wave goes on, and one mutating wave of all.
Index("controlplane_waves_going_on", waves.c.wave, unique=True, sqlite_where=_going_on, postgresql_where=_going_on)
_mutates = and_(waves.c.mutating, _going_on)
Index("controlplane_waves_mutating", waves.c.mutating, unique=True, sqlite_where=_mutates, postgresql_where=_mutates)

# Who changes a stack in an environment, or did last.
release_leases = Table(
    "controlplane_release_leases",
    metadata,
    Column("stack", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("verb", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("token", BigInteger, nullable=False, unique=True),
    Column("taken_at", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
    Column("ended_at", Text),
)

gate_runs = Table(
    "controlplane_gate_runs",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("run", Text, nullable=False, unique=True),
    Column("at", Text, nullable=False),
    Column("pack", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("hosts", Text, nullable=False),
)
Index("controlplane_gate_runs_pack", gate_runs.c.pack, gate_runs.c.at, gate_runs.c.id)

gate_results = Table(
    "controlplane_gate_results",
    metadata,
    Column("run_id", _Number, ForeignKey("controlplane_gate_runs.id"), primary_key=True),
    Column("check_id", Text, primary_key=True),
    Column("host", Text, primary_key=True),
    # The run's: with it the index alone gives the newest runs of a check on a host.
    Column("at", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("checker", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
)
Index("controlplane_gate_results_newest", gate_results.c.check_id, gate_results.c.host, gate_results.c.at, gate_results.c.run_id)
