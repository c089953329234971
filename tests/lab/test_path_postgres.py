"""storage.persistent_paths on a PostgreSQL 17 whose data lie elsewhere than its compose file says, with a tablespace outside of them."""

from __future__ import annotations

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
    site.plan("wrong.json", *ONLY)
    said = site.apply("wrong.json")
    assert said.code == 1, said
    assert f"PostgreSQL keeps its data in {_PGDATA}, not in /var/lib/postgresql/data" in said.err, said.err

    policy.write_text(f"{head}    services:\n{row.format(_PGDATA)}")
    site.plan("space.json", *ONLY)
    said = site.apply("space.json")
    assert said.code == 1, said
    assert "tablespaces lie outside" in said.err, said.err
    assert "far at /srv/space" in said.err

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
