"""storage.persistent_paths on PostgreSQLs whose data lie elsewhere than the compose file says, or whose images know their user by other numbers."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, planned, verdicts
from tests.lab.path_load import Client

pytestmark = [pytest.mark.lab, pytest.mark.slow]

ONLY = ("--capability", "storage.data_disk", "--capability", "storage.fstab", "--capability", "storage.persistent_paths")
_PGDATA = "/var/lib/postgresql/17/docker"
# As the images of 18 do: PGDATA has moved, and the old mount holds nothing.
_STACK = f"""name: newer
services:
  db:
    image: IMAGE
    container_name: db17
    environment: {{PGDATA: {_PGDATA}}}
    volumes: ["stale:/var/lib/postgresql/data"]
    ports: ["127.0.0.1:5433:5432"]
    command:
      - bash
      - -ec
      - |
        mkdir -p $$PGDATA /run/postgresql /srv/space
        chown -R postgres:postgres $$PGDATA /run/postgresql /srv/space
        as="setpriv --reuid=postgres --regid=postgres --init-groups"
        bin=$$(echo /usr/lib/postgresql/*/bin)
        if [ ! -s $$PGDATA/PG_VERSION ]; then
          $$as $$bin/initdb --pgdata=$$PGDATA --auth=trust --username=postgres > /dev/null
          echo "host all all all trust" >> $$PGDATA/pg_hba.conf
        fi
        exec $$as $$bin/postgres -D $$PGDATA -c listen_addresses='*'
volumes: {{stale: {{}}}}
"""
_ROWS = """
create table "odd, name" (t text, n int);
insert into "odd, name" select md5(n::text), n from generate_series(1, 5000) n;
create tablespace far location '/srv/space';
"""
# As an official image's entry point: root, who gives the data to the image's own user where they are not that one's, and becomes it.
_SERVER = """    image: lab/postgres:NUMBER
    container_name: NAME
    volumes: ["NAME:/srv/db"]
    command:
      - bash
      - -ec
      - |
        mkdir -p /run/postgresql
        chown postgres:postgres /run/postgresql
        [ "$$(stat -c %u /srv/db)" = "$$(id -u postgres)" ] || chown -R postgres:postgres /srv/db
        as="setpriv --reuid=postgres --regid=postgres --init-groups"
        bin=$$(echo /usr/lib/postgresql/*/bin)
        [ -s /srv/db/PG_VERSION ] || $$as $$bin/initdb --pgdata=/srv/db --auth=trust --username=postgres > /dev/null
        exec $$as $$bin/postgres -D /srv/db
"""
_NUMBERS = {"debian": "${DEBIAN}", "alpine": "70"}


def test_where_the_server_itself_keeps_its_data_is_what_is_moved(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    host = machine(services=True)
    image = host.lab.newer_services(host.name)
    host.sh("mkdir -p /opt/stacks/newer")
    host.run(["sh", "-c", "cat > /opt/stacks/newer/compose.yml"], stdin=_STACK.replace("IMAGE", image).encode())
    sql = "docker exec db17 psql -U postgres -qAtc"
    host.sh(f"cd /opt/stacks/newer && docker compose up -d && for try in $(seq 100); do {sql} 'select 1' && exit; sleep 0.2; done; exit 1")
    assert host.sh(f"{sql} 'show server_version'").startswith("17.")
    host.sh(f"{sql} 'create database shop'")
    host.sh("docker exec db17 psql -U postgres -d shop -qc 'create extension amcheck'")
    host.run(["docker", "exec", "-i", "db17", "psql", "-U", "postgres", "-d", "shop", "-q"], stdin=_ROWS.encode())
    site = Operator(host, tmp_path)
    policy = site.site / "policy.yml"
    head, found, _ = policy.read_text().partition("    services:\n")
    assert found
    row = "      db17: {{kind: postgres, data: {0}, place: /mnt/data/db17}}\n"

    # The YAML mounts a volume there, and nothing of the server lies in it.
    policy.write_text(f"{head}    services:\n{row.format('/var/lib/postgresql/data')}")
    [refusal] = site.plan("wrong.json", *ONLY)["refusals"]
    assert f"PostgreSQL keeps its data in {_PGDATA}, not in /var/lib/postgresql/data" in refusal["reason"]

    policy.write_text(f"{head}    services:\n{row.format(_PGDATA)}")
    [refusal] = site.plan("space.json", *ONLY)["refusals"]
    assert "tablespaces lie outside" in refusal["reason"]
    assert "far at /srv/space" in refusal["reason"]

    host.sh(f"{sql} 'drop tablespace far'")
    client = Client(host, "postgres", port=5433)
    client.start_writing()
    plan = site.plan("plan.json", *ONLY)
    result = site.applied()
    assert result["changed"] == planned(plan)
    assert verdicts(result["verify"], plan) == {"MET"}
    [told] = [
        row["told"] for row in site.receipts() if row["phase"] == "result" and row["outcome"] == "done" and row["told"] and "paths" in row["told"]
    ]
    [moved] = told["paths"]
    assert (moved["from"], moved["proof"]["lost"], moved["proof"]["skipped"]) == ("its writable layer", 0, 0)
    assert moved["proof"]["tables"] == moved["proof"]["equal"] + moved["proof"]["changed"] == 2
    assert moved["proof"]["rows"] >= 5000
    assert moved["proof"]["amcheck"] == "passed", moved
    assert host.sh("docker exec db17 psql -U postgres -d shop -qAtc 'select count(*) from \"odd, name\"'") == "5000\n"
    assert host.sh("stat -c %a /mnt/data/db17; ls /mnt/data/db17/PG_VERSION").split() == ["700", "/mnt/data/db17/PG_VERSION"]

    # Its layer is a fresh one then: what leads to the data has to be made as it was, or the server can't reach them.
    said = site.run("rollback", result["run"], "-o", "json")
    assert said.code == 0, (said, host.sh("docker logs --tail 20 db17 2>&1; docker inspect -f '{{json .State}}' db17"))
    assert host.sh("docker inspect -f '{{range .Mounts}}{{.Destination}} {{end}}' db17").split() == ["/var/lib/postgresql/data"]
    assert host.sh(f"docker exec db17 stat -c %a:%U {_PGDATA} {_PGDATA.rpartition('/')[0]}").split() == ["700:postgres", "755:root"]
    assert host.sh("docker exec db17 psql -U postgres -d shop -qAtc 'select count(*) from \"odd, name\"'") == "5000\n"

    client.stop_writing()
    lost = client.lost()
    assert (lost["count"], lost["written"] > 100) == (0, True), lost


@pytest.mark.long
def test_each_image_s_own_user_keeps_its_data_by_number_there_and_back_also_once_the_image_is_another(
    machine: Callable[..., LabMachine], tmp_path: Path
) -> None:
    host = machine(services=True)
    # The user postgres is 999 in images that are made from Debian, and 70 in those from Alpine.
    for number in ("999", "70"):
        passwd = f"sed -i 's/^postgres:x:[0-9]*:[0-9]*:/postgres:x:{number}:{number}:/' /etc/passwd"
        edits = f"{passwd} && sed -i 's/^postgres:x:[0-9]*:/postgres:x:{number}:/' /etc/group"
        host.run(["docker", "run", "--name", "make", "lab/services:1", "sh", "-c", edits])
        host.sh(f"docker commit make lab/postgres:{number} && docker rm make")
    services = "".join(f"  {name}:\n{_SERVER.replace('NUMBER', number).replace('NAME', name)}" for name, number in _NUMBERS.items())
    host.sh("mkdir -p /opt/stacks/users && echo DEBIAN=999 > /opt/stacks/users/.env")
    host.run(
        ["sh", "-c", "cat > /opt/stacks/users/compose.yml"],
        stdin=f"name: users\nservices:\n{services}volumes: {{debian: {{}}, alpine: {{}}}}\n".encode(),
    )

    def sql(name: str, text: str) -> str:
        return host.sh(f"docker exec {name} psql -U postgres -qAtc {shlex.quote(text)}").strip()

    def up() -> None:
        asked = "docker exec $name psql -U postgres -qAtc 'select 1'"
        each = f"for name in {' '.join(_NUMBERS)}; do for try in $(seq 100); do {asked} && continue 2; sleep 0.2; done; exit 1; done"
        host.sh(f"cd /opt/stacks/users && docker compose up -d && {each}")

    def owners(name: str) -> list[str]:
        """Return whose the data are, in numbers, as the container sees them; `left` is what another image left there."""
        return host.sh(f"docker exec {name} stat -c %u:%g /srv/db /srv/db/PG_VERSION /srv/db/left").split()

    up()
    for name in _NUMBERS:
        sql(name, "create table kept as select n from generate_series(1, 1000) n")
        host.sh(f"docker exec {name} sh -c 'echo left > /srv/db/left && chown 4242:4343 /srv/db/left && chmod 600 /srv/db/left'")
    before = {name: owners(name) for name in _NUMBERS}
    assert before == {"debian": ["999:999", "999:999", "4242:4343"], "alpine": ["70:70", "70:70", "4242:4343"]}

    site = Operator(host, tmp_path)
    policy = site.site / "policy.yml"
    head, found, _ = policy.read_text().partition("    services:\n")
    assert found
    rows = "".join(f"      {name}: {{kind: postgres, data: /srv/db, place: /mnt/data/users/{name}}}\n" for name in _NUMBERS)
    policy.write_text(f"{head}    services:\n{rows}")
    plan = site.plan("plan.json", *ONLY)
    result = site.applied()
    assert result["changed"] == planned(plan)
    assert verdicts(result["verify"], plan) == {"MET"}
    assert {name: owners(name) for name in _NUMBERS} == before
    for name, (own, _, left) in before.items():
        assert host.sh(f"stat -c %u:%g /mnt/data/users/{name} /mnt/data/users/{name}/left").split() == [own, left]
        assert host.sh(f"find /mnt/data/users/{name} ! -user {own.partition(':')[0]} -printf '%P '").split() == ["left"]
        assert sql(name, "select count(*) from kept") == "1000"

    # Its image is one of the other kind by now, whose entry point made the data its own user's: they go back as they are.
    host.sh("echo DEBIAN=70 > /opt/stacks/users/.env")
    up()
    assert owners("debian") == ["70:70"] * 3
    sql("debian", "insert into kept values (1001)")
    said = site.run("rollback", result["run"], "-o", "json")
    assert said.code == 0, (said, host.sh("docker logs --tail 20 debian 2>&1"))
    for name, (count, wanted) in {"debian": ("1001", ["70:70"] * 3), "alpine": ("1000", before["alpine"])}.items():
        assert host.sh(f"docker inspect -f '{{{{range .Mounts}}}}{{{{.Name}}}}{{{{end}}}}' {name}") == f"users_{name}\n"
        assert (sql(name, "select count(*) from kept"), owners(name)) == (count, wanted)
