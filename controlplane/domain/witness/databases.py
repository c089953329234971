"""Questions about what databases promise, put by their own clients inside their containers.

Rules:
- No password goes this way: a server that demands one declines, and so does an image without a client. Then the evidence alone speaks.
- The settings are those as they run; what they will be after a restart no client tells, but the append-only file itself is on the host.
"""

from __future__ import annotations

from controlplane.domain.witness.ask import Ask, Asked, Told

# What the engine says where the image has no such program.
_NO_CLIENT = ("executable file", "psql: not found")
_LOGIN = ("NOAUTH", "NOPERM")
_NO_LOGIN = ("authentication failed", "no password supplied", "no pg_hba.conf entry", "does not exist", "permission denied")
_DURABLE = ("fsync", "full_page_writes")
# By the socket that is there: a server may have been given another port or place than its clients take for granted.
_PSQL = (
    "for one in /run/postgresql /tmp /var/run/postgresql; do for path in $one/.s.PGSQL.*; do if test -S $path; then"
    " export PGHOST=$one PGPORT=${path##*.}; break 2; fi; done; done; "
    'exec psql -XAtqw -U "${POSTGRES_USER:-postgres}" -d postgres -c "$1"'
)


def postgres(told: Told) -> Asked:
    """Ask a PostgreSQL for fsync and full page writes as they run."""
    state = told.reader.postgres.get(told.named)
    if state is None or not state["reachable"]:
        return []
    seen = {name: state["running"][name] for name in _DURABLE if name in state["running"]}
    names = ", ".join(f"'{name}'" for name in seen)
    sql = f"select name || '=' || setting from pg_settings where name in ({names}) order by name"  # noqa: S608 - names from above
    argv = ("docker", "exec", "--env", "LC_ALL=C", told.named, "sh", "-c", _PSQL, "sh", sql)
    answer = "\n".join(f"{name}={value}" for name, value in sorted(seen.items()))
    return [Ask(argv, answer, declines=_NO_CLIENT + _NO_LOGIN)] if seen else []


def redis(told: Told) -> Asked:
    """Ask a Redis for its settings as they run, and the host for the append-only file."""
    state, seen = told.reader.redis.get(told.named), told.case.containers.get(told.named)
    if seen is None or state is None or not state["reachable"]:
        return []
    running = state["running"]
    port, unix = running.get("port", "6379"), running.get("unixsocket", "")
    where = ("-s", unix) if port == "0" and unix else ("-p", port)
    client = ("docker", "exec", told.named, "redis-cli", *where, "--raw", "config", "get")
    settings = [name for name in ("appendonly", "appendfsync", "save") if name in running]
    asked = [Ask((*client, name), f"{name}\n{running[name]}".strip(), declines=_NO_CLIENT + _LOGIN) for name in settings]
    return [*asked, *_append_only_file(told)]


def _append_only_file(told: Told) -> list[Ask]:
    state, seen = told.reader.redis[told.named], told.case.containers[told.named]
    # A rewrite changes the names of all but the manifest, and of the one file that older servers have.
    lasting = [name for name in state["aof_files"] if name.endswith(".manifest") or "/" not in name]
    home = next((one["host_path"] for one in seen["mounts"] if one["destination"] == state["dir"]), None)
    if home is None:
        return []
    return [Ask(("find", f"{home}/{name}", "-maxdepth", "0", "-type", "f"), f"{home}/{name}") for name in lasting]
