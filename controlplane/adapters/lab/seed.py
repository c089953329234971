"""Fill machines with real data in running stacks, and take sentinels that show later whether anything was lost."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from controlplane.domain.errors import RunFailedError

from .stacks import BUCKET, OBJECTS, PORTS, POSTGRES, REDIS, UPLOADS, apps_stack, compose_text, data_stack

if TYPE_CHECKING:
    from .lab import Lab

_ROWS = """
create table if not exists orders (id int primary key, customer text not null, body text not null);
insert into orders select n, 'customer ' || n % 97, repeat(md5(n::text), 8) from generate_series(1, {rows}) as n
on conflict do nothing;
checkpoint;
"""
_ROW_SUMS = "select count(*), md5(string_agg(id || customer || body, ',' order by id)) from orders"
_KEYS = "for i = 1, tonumber(ARGV[1]) do redis.call('set', 'quote:' .. i, redis.sha1hex('quote ' .. i)) end"
_KEY_SUMS = """
local keys, total = redis.call('keys', '*'), ''
table.sort(keys)
for _, key in ipairs(keys) do total = redis.sha1hex(total .. key .. redis.call('get', key)) end
return {tostring(#keys), total}
"""


def _run(lab: Lab, host: str, argv: Sequence[str], stdin: bytes | None = None, limit_s: float = 180.0) -> str:
    done = lab.run(host, argv, stdin=stdin, timeout=limit_s)
    if done.returncode != 0:
        said = " / ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise RunFailedError(f"lab: {host}: '{' '.join(argv)[:120]}' failed with exit code {done.returncode}: {said}")
    return done.stdout


def _psql(sql: str) -> list[str]:
    return ["docker", "exec", POSTGRES, "psql", "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-qAt", "-F", " ", "-c", sql]


def _redis(*words: str) -> list[str]:
    return ["docker", "exec", REDIS, "redis-cli", "--raw", *words]


def seed(
    lab: Lab,
    host: str,
    *,
    stack: str = "",
    rows: int = 5_000,
    keys: int = 1_000,
    objects: int = 40,
    object_bytes: int = 262_144,
    redis_aof: bool = False,
    limit_s: int = 120,
    patience: int = 1,
) -> dict[str, Any]:
    """Start the stack on the machine (by default the one of its name), fill it, and return its sentinels.

    Running it again adds nothing. Any machine takes either stack: `stack="mint-data"`. `patience` says how many times slower
    than a processor of its own the machine is.
    """
    chosen = stack or ("mint-apps" if host == "mint-apps" else "mint-data")
    content = compose_text(apps_stack() if chosen == "mint-apps" else data_stack(redis_aof=redis_aof, patience=patience))
    folder = f"/opt/stacks/{chosen}"
    _run(lab, host, ["mkdir", "-p", folder])
    _run(lab, host, ["tee", f"{folder}/compose.yml"], stdin=content)
    compose = ["docker", "compose", "-f", f"{folder}/compose.yml"]
    running = ["postgres", "minio", "redis"] if chosen == "mint-data" else list(PORTS)
    # A service that ends by itself would end --wait as well: it is started apart.
    _run(lab, host, [*compose, "up", "--detach", "--wait", "--wait-timeout", str(limit_s * patience), *running], limit_s=limit_s * patience + 30)
    if chosen == "mint-apps":
        upload = f"head -c 300000 /dev/zero > {UPLOADS}/quote-1.pdf"
        _run(lab, host, ["docker", "exec", "quote-page", "sh", "-c", upload])
        return sentinels(lab, host)
    _run(lab, host, [*compose, "up", "--detach", "import"])
    _run(lab, host, _psql(_ROWS.format(rows=rows)))
    _run(lab, host, _redis("eval", _KEYS, "0", str(keys)))
    _run(lab, host, _redis("save"))
    _run(lab, host, ["docker", "exec", OBJECTS, "lab-objects", "put", BUCKET, str(objects), str(object_bytes)])
    # The object store doesn't sync what it writes; what is seeded has to survive a power cut.
    _run(lab, host, ["sync"])
    return sentinels(lab, host, wait_s=60.0 * patience)


def sentinels(lab: Lab, host: str, *, wait_s: float = 60.0) -> dict[str, Any]:
    """Return what must be equal before and after any change: rows, keys and objects with checksums, and containers by state.

    Shape: {"containers": {name: state}, "postgres": {"rows", "md5"}, "redis": {"keys", "sha1"}, "objects": {key: sha256},
    "http": {name: status}}, each part only where its container runs. A service that doesn't answer within `wait_s` is an error.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return _take(lab, host)
        except RunFailedError:
            if time.monotonic() > deadline:
                raise
        time.sleep(1)


def _take(lab: Lab, host: str) -> dict[str, Any]:
    lines = _run(lab, host, ["docker", "ps", "--all", "--format", "{{.Names}} {{.State}}"]).splitlines()
    containers = dict(sorted((line.split(" ")[0], line.split(" ")[1]) for line in lines))
    found: dict[str, Any] = {"containers": containers}
    if containers.get(POSTGRES) == "running":
        rows, md5 = _run(lab, host, _psql(_ROW_SUMS)).split()
        found["postgres"] = {"rows": int(rows), "md5": md5}
    if containers.get(REDIS) == "running":
        count, sha1 = _run(lab, host, _redis("eval", _KEY_SUMS, "0")).split()
        found["redis"] = {"keys": int(count), "sha1": sha1}
    if containers.get(OBJECTS) == "running":
        found["objects"] = json.loads(_run(lab, host, ["docker", "exec", OBJECTS, "lab-objects", "sums", BUCKET]))
    asked = {name: port for name, port in PORTS.items() if containers.get(name) == "running"}
    if asked:
        fetch = "import sys, urllib.request as u\nfor p in sys.argv[1:]: print(u.urlopen(f'http://127.0.0.1:{p}/health', timeout=5).status)"
        answers = _run(lab, host, ["python3", "-c", fetch, *map(str, asked.values())]).split()
        found["http"] = dict(zip(asked, map(int, answers), strict=True))
    return found
