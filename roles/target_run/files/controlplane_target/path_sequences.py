"""The sequences of one PostgreSQL database: where each stands before a stop, and that none has gone back in the server that started since.

Rules:
- No lock holds them: what a client draws meanwhile only moves them on. So it counts as proven that one stands where it stood, or further on.
- One that went back, or is gone, is unknown: a client may have set it, and no counter tells.
"""

from __future__ import annotations

from .postgres_client import Postgres, PostgresError

_MOST_MS, _EACH = 500, "*"
# NULL is a value that nobody drew so far.
_ALL = (
    "SELECT format('%I.%I', schemaname, sequencename), last_value::text, sign(increment_by)::int::text, "
    "has_sequence_privilege(format('%I.%I', schemaname, sequencename), 'SELECT')::text FROM pg_catalog.pg_sequences ORDER BY 1"
)
Sequences = dict[str, list[str]]


def read(session: Postgres) -> tuple[Sequences, dict[str, str]]:
    """Return ({name: [value, direction]}, {name: why it was not read}), outside of a transaction."""
    session.rows(f"SET statement_timeout = {_MOST_MS}")
    try:
        rows = session.rows(_ALL)
    except PostgresError as fault:
        return {}, {_EACH: f"they could not be read in time: {fault}"}
    finally:
        session.rows("RESET statement_timeout")
    found = {str(name): [str(value), str(direction)] for name, value, direction, _ in rows if value is not None}
    return found, {str(name): "its user may not read it" for name, value, _, may in rows if value is None and may != "true"}


def fared(session: Postgres, before: Sequences) -> tuple[int, dict[str, str]]:
    """Return how many stand where they stood or further on, and {name: why not} of the others."""
    now, why = read(session)
    unsure = {}
    for name, (value, direction) in before.items():
        if name not in now:
            unsure[name] = why.get(name) or why.get(_EACH) or "it is gone, or nothing was drawn from it since it was set anew"
        elif (int(now[name][0]) - int(value)) * int(direction) < 0:
            unsure[name] = f"it was at {value}, and is at {now[name][0]}: nothing here tells whether a client set it back"
    return len(before) - len(unsure), unsure
