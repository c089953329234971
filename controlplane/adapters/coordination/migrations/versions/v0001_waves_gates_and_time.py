"""Waves, gate runs and the site's time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Go there from an empty store."""
    ledger = op.create_table(
        "controlplane_ledger",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seen_at", sa.Text),
        sa.Column("last_token", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(ledger, [{"id": 1, "seen_at": None, "last_token": 0}])
    op.create_table(
        "controlplane_waves",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("wave", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("mutating", sa.Boolean, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False, unique=True),
        sa.Column("expires_at", sa.Text, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("opened_at", sa.Text, nullable=False),
        sa.Column("taken_at", sa.Text, nullable=False),
        sa.Column("ended_at", sa.Text),
    )
    op.create_index("controlplane_waves_wave", "controlplane_waves", ["wave"])
    for name, column, where in (
        ("controlplane_waves_going_on", "wave", sa.text("ended_at IS NULL")),
        ("controlplane_waves_mutating", "mutating", sa.text("mutating AND ended_at IS NULL")),
    ):
        op.create_index(name, "controlplane_waves", [column], unique=True, sqlite_where=where, postgresql_where=where)
    op.create_table(
        "controlplane_gate_runs",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("run", sa.Text, nullable=False, unique=True),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("pack", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("hosts", sa.Text, nullable=False),
    )
    op.create_index("controlplane_gate_runs_pack", "controlplane_gate_runs", ["pack", "at", "id"])
    op.create_table(
        "controlplane_gate_results",
        sa.Column("run_id", _NUMBER, sa.ForeignKey("controlplane_gate_runs.id"), primary_key=True),
        sa.Column("check_id", sa.Text, primary_key=True),
        sa.Column("host", sa.Text, primary_key=True),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("checker", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("passed", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("controlplane_gate_results_newest", "controlplane_gate_results", ["check_id", "host", "at", "run_id"])
