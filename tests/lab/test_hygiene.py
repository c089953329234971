"""docker.hygiene on a real engine over its budgets: what the plan lists is what goes, and nothing else; and the timer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, planned, verdicts

pytestmark = [pytest.mark.lab, pytest.mark.slow]

ONLY = ("--capability", "docker.hygiene")
_BUILD = """
mkdir -p /root/build && cd /root/build
for release in 1 2 3; do
  head -c 20000000 /dev/urandom > release
  printf 'FROM scratch\\nCOPY release /release-%s\\n' $release > Dockerfile
  docker buildx build -q -t shop/app:$release . > /dev/null
  sleep 1.1
done
docker tag shop/app:2 golden/app:2
docker create --name stopped shop/app:1 /nothing > /dev/null
docker run -d --name talks --init --log-driver json-file -v kept:/data lab/services:1 \\
  sh -c 'yes a line of the log | head -c 40000000; exec sleep infinity' > /dev/null
docker volume create unused > /dev/null
without_a_name=$(docker create -v /data lab/services:1 true)
place=$(docker inspect -f '{{range .Mounts}}{{if eq .Destination "/data"}}{{.Source}}{{end}}{{end}}' "$without_a_name")
echo kept > "$place/sentinel"
echo "$place/sentinel" > /root/sentinel
docker rm "$without_a_name" > /dev/null
log=$(docker inspect -f '{{.LogPath}}' talks)
for try in $(seq 200); do [ "$(stat -c %s "$log")" -lt 100000000 ] || break; sleep 0.2; done
"""


def _kept(host: LabMachine) -> tuple[set[str], str]:
    """Return all volumes, and what lies in the one without a name that no container has: it is what Docker's own prune takes first."""
    return set(host.sh("docker volume ls -q").split()), host.sh('cat "$(cat /root/sentinel)"')


def test_what_the_plan_lists_goes_and_nothing_else_and_the_timer_does_the_same(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    host = machine(services=True)
    host.sh(_BUILD)
    site = Operator(host, tmp_path)
    policy = site.site / "policy.yml"
    limits = '    thresholds: {images: 220MB, build_cache: 1MB}\n    docker:\n      hygiene: {keep: 1, protect: ["golden/*"], timer: daily}\n'
    policy.write_text(policy.read_text().replace("    docker:\n", limits, 1))
    volumes = _kept(host)
    without_a_name = Path(host.sh("cat /root/sentinel").strip()).parents[1].name
    dangling = set(host.sh("docker volume ls -q --filter dangling=true").split())
    assert (len(without_a_name), {without_a_name, "unused"} <= dangling, volumes[1]) == (64, True, "kept\n")

    found = {f["surface"]: f["verdict"] for f in site.run("audit", "--check", "D237", "-o", "json").json["findings"]}
    assert (found["budget.images"], found["budget.build_cache"], found["docker.hygiene_timer"]) == ("DRIFTED",) * 3
    plan = site.plan("plan.json", *ONLY)
    clearing, _ = plan["steps"]
    targets = [change["target"] for change in clearing["changes"]]
    # One of a stopped container, one that is protected and the newest of a repository stay, whatever the budget.
    assert not [target for target in targets if target.startswith("image ")]
    assert "images: " in plan["refusals"][0]["reason"]
    assert [target for target in targets if target.startswith("log of talks")]
    assert [target for target in targets if target.startswith("build cache")]
    host.sh("docker rm stopped > /dev/null")
    plan = site.plan("plan.json", *ONLY)
    clearing, _ = plan["steps"]
    assert [target.split(" ")[1] for target in [change["target"] for change in clearing["changes"]] if target.startswith("image ")] == ["shop/app:1"]
    assert all(change["destructive"] for change in clearing["changes"])

    result = site.applied()
    assert result["changed"] == planned(plan)
    assert verdicts(result["verify"], plan) == {"MET"}
    assert set(host.sh("docker images --format '{{.Repository}}:{{.Tag}}'").split()) == {"lab/services:1", "shop/app:2", "shop/app:3", "golden/app:2"}
    assert _kept(host) == volumes
    assert host.sh("docker inspect -f '{{.State.Running}}' talks") == "true\n"
    [told] = [
        row["told"]
        for row in site.receipts()
        if row["capability"] == "docker.hygiene" and row["phase"] == "result" and (row["told"] or {}).get("freed")
    ]
    assert told["freed"]["logs"] >= 100_000_000
    # What an image shared with the build cache is the cache's alone from now on, and counted there.
    assert (told["planned"] > 0, told["freed"]["images"] >= 20_000_000) == (True, True)
    # What the removed image shared with the cache is the cache's alone by now.
    site.plan("rest.json", *ONLY)
    site.applied("rest.json")
    assert site.applied("rest.json")["changed"] == []

    # The timer goes by the same limits, and leaves a receipt each time.
    host.sh("cd /root/build && head -c 20000000 /dev/urandom > release && docker buildx build -q -t shop/app:4 . > /dev/null")
    host.sh("systemctl start controlplane-hygiene.service")
    assert "shop/app:3" not in host.sh("docker images --format '{{.Repository}}:{{.Tag}}'").split()
    receipt = json.loads(host.sh("cat $(ls /var/lib/controlplane/hygiene/receipts/*.json | tail -1)"))
    assert [one.split(" ")[-1] for one in receipt["removed"] if one.startswith("image ")] == ["shop/app:3"]
    [image] = [one for one in receipt["removals"] if one["kind"] == "image"]
    assert (image["name"], image["size"] > 0, image["last_used"][:2]) == ("shop/app:3", True, "20")
    assert (receipt["left_out"], receipt["faults"], receipt["settings"]["budgets"]["images"]) == ("", [], 220_000_000)
    assert _kept(host) == volumes

    # Other limits are drift.
    policy.write_text(policy.read_text().replace("images: 220MB", "images: 230MB"))
    found = {f["surface"]: f["verdict"] for f in site.run("audit", "--check", "D237", "-o", "json").json["findings"]}
    assert found["docker.hygiene_timer"] == "DRIFTED"
