"""Bring a store up to date, by alembic's scripts beside this module.

Rules:
- One at a time does it, in one transaction: who comes second finds it done, and who is killed has changed nothing.
- A store whose schema this program does not know belongs to a newer one, and is not touched.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from controlplane.adapters.coordination.database import Database
from controlplane.adapters.coordination.schema import HEAD, VERSION_TABLE
from controlplane.domain.errors import RefusedError

SCRIPTS = Path(__file__).parent / "migrations"
# Any number that others who use the same PostgreSQL are unlikely to lock.
_LOCK = 7_236_021_945


def bring_up_to_date(database: Database) -> None:
    """Make the store's tables what this program needs. Raises `RefusedError` for a store of a newer one."""
    with database.reading() as connection:
        if _revision(connection) == HEAD:
            return
    with database.transaction() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = _revision(connection)
        if found == HEAD:
            return
        _refuse_newer(database.name, found)
        _upgrade(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - a name of our own


def _refuse_newer(name: str, found: str | None) -> None:
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - only a store that is not up to date needs it

    known = {script.revision for script in ScriptDirectory(str(SCRIPTS)).walk_revisions()}
    if found is not None and found not in known:
        raise RefusedError(
            f"{name} has schema {found}, and this program knows none after {HEAD}: a newer one has been at work there. "
            "Nothing was changed. Update controlplane on this controller to what the others run."
        )


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - only a store that is not up to date needs it
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    # ConfigParser reads %, and a folder's name may hold it.
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    command.upgrade(config, "head")
