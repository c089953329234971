"""The role compose_stack on a machine with a registry: it deploys by digest, measures what that cost, and goes back byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.playing import RUN, play
from tests.lab.till import COMPOSE, DIR, ENV, HEALTHCHECK, KEY, PLACE, SECRET, Till

pytestmark = [pytest.mark.lab, pytest.mark.slow]

FOLDER = f"/var/lib/controlplane/{KEY}"
NEXT = RUN.format("release.deploy", 2)
BACK = RUN.format("release.deploy", 3)


def text(old: str, new: str) -> dict[str, Any]:
    """Return the change of variables in which the compose file says something else."""
    assert COMPOSE.count(old) == 1, old
    return {"files": [{"name": "compose.yml", "text": COMPOSE.replace(old, new)}]}


class Doubt(NamedTuple):
    """What the role says, when it is asked for release 1 with these changes, between these commands on the machine."""

    said: str
    changes: Mapping[str, Any] = {}
    first: str = "true"
    after: str = "true"


_PAGE = "services: {page: {image: lab/services:1, command: [sleep, infinity]}}"
_RESTART = '"${TOKEN}"}\n    restart: unless-stopped'
REFUSED = {
    "a name from a variable": Doubt(
        "takes the project's name from a variable (${NAME:-till})", text("name: till\nservices", "name: ${NAME:-till}\nservices")
    ),
    "no name": Doubt("no compose file has a name of its own", text("name: till\nservices", "services")),
    "another name": Doubt("names the project tills, not till as the release does", text("name: till\nservices", "name: tills\nservices")),
    "no healthcheck": Doubt("till has no healthcheck", text("interval: 1s, timeout: 5s, retries: 20", "disable: true")),
    "no restart policy": Doubt("till has no restart policy", text(_RESTART, '"${TOKEN}"}')),
    "restart no": Doubt("till has no restart policy", text(_RESTART, '"${TOKEN}"}\n    restart: "no"')),
    "an anonymous volume": Doubt("till has an anonymous volume at /kept", text('"kept:/kept"', "/kept")),
    "a build": Doubt("page has a build", text("    env_file: .env", "    env_file: .env\n    build: .")),
    "no bind source": Doubt(
        f"{PLACE}, which till binds, is not there, and Docker would make it", first=f"mv {PLACE} {PLACE}.away", after=f"mv {PLACE}.away {PLACE}"
    ),
    "a bind source by a link": Doubt(
        f"leads to {PLACE}.away by a symbolic link",
        first=f"mv {PLACE} {PLACE}.away; ln -s {PLACE}.away {PLACE}",
        after=f"rm {PLACE}; mv {PLACE}.away {PLACE}",
    ),
    "a disk that is not mounted": Doubt(
        "/mnt/data, where it belongs by /etc/fstab, is not mounted",
        first="echo 'UUID=6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11 /mnt/data ext4 nofail 0 2' >> /etc/fstab",
        after="sed -i '/mnt.data/d' /etc/fstab",
    ),
    "containers of another folder": Doubt(
        f"till-page-1 of project till runs from /opt/old, not from {DIR}",
        first=f"mkdir -p /opt/old; printf 'name: till\n{_PAGE}' > /opt/old/compose.yml; docker compose -f /opt/old/compose.yml up -d 2>&1",
        after="docker compose -f /opt/old/compose.yml down 2>&1",
    ),
    "another project in the folder": Doubt(
        f"tills-page-1 of project tills runs from {DIR}: under the name till it would be another project, with empty volumes",
        first=f"mkdir -p {DIR}; echo '{_PAGE}' > {DIR}/old.yml; docker compose -p tills -f {DIR}/old.yml up -d 2>&1",
        after=f"docker compose -p tills -f {DIR}/old.yml down 2>&1; rm -r {DIR}",
    ),
    "a name that is taken": Doubt(
        "till is to be called till, and another container has that name",
        first="docker create --name till lab/services:1 true",
        after="docker rm till",
    ),
    "a shared network that is not there": Doubt(
        "the stack shares the network shared, which is not there: docker network create shared",
        text("volumes: {kept: {}}", "volumes: {kept: {}}\nnetworks: {default: {name: shared, external: true}}"),
    ),
    "the registry down": Doubt("is not here and can't be pulled: its registry does not answer", first="systemctl stop registry"),
    "an environment file of another plan": Doubt(
        "its environment file is not the one that the plan was made with", {"told_digest": "hmac-sha256:" + "0" * 64}
    ),
    "an environment file that steers Docker": Doubt(
        "the environment file sets DOCKER_HOST in line 3, which steers Docker itself", {"env": f"{ENV}DOCKER_HOST=tcp://192.0.2.1:2375\n"}
    ),
    "a variable that nothing sets": Doubt("Compose finds no value for TOKEN", {"env": f"PLACE={PLACE}\n"}),
    "a value that Compose quotes": Doubt("Invalid hostPort: 80***", text("    env_file: .env", '    ports: ["80${TOKEN}:80"]')),
    "a folder behind a link": Doubt(f"{DIR} is a link, or no directory", first=f"ln -s /opt/elsewhere {DIR}", after=f"rm {DIR}"),
    "an image of no service": Doubt(
        "the manifest has an image for tills, and the compose files have no such service",
        {"images": {"tills": "127.0.0.1:5000/shop/till@sha256:" + "0" * 64}},
    ),
    "Docker down": Doubt("does not answer", first="systemctl stop docker.socket docker.service", after="systemctl start docker"),
}


def test_each_doubt_is_refused_by_its_name_and_nothing_is_changed(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    host = machine(services=True)
    till = Till(host, tmp_path)
    shown = play(host, "compose_stack", till.variables(), tmp_path, check=True)
    assert shown.code == 0, shown.text
    assert f"+++ after: {DIR}/compose.yml" in shown.text
    assert SECRET not in shown.text
    assert host.sh("ls -A /run/controlplane-dry-run") == "", "a dry run left its tools"
    till.lay_down()
    before = till.state()
    host.sh("mkdir -p /opt/stacks")
    for name, doubt in REFUSED.items():
        host.sh(doubt.first)
        code, told = till.ask("refuse", till.variables(**doubt.changes))
        host.sh(doubt.after)
        if name == "the registry down":
            till.start_registry()
        assert (code, doubt.said in told, told.endswith(("Nothing was changed.", "Make a new plan.", "Start Docker."))) == (4, True, True), (
            name,
            told,
        )
        assert SECRET not in told, name
        assert till.state() == before, name
    assert till.ask("refuse", till.variables())[0] == 0
    assert host.sh("ls -A /run/controlplane; docker images --format '{{.Repository}}' | sort -u") == "lab/services\n"


def test_a_release_is_deployed_by_digest_and_taken_back_byte_for_byte(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    host = machine(services=True)
    till = Till(host, tmp_path)
    first = play(host, "compose_stack", till.variables(), tmp_path, verbose=True)
    assert (first.code, till.runs()) == (0, {"till": "1 healthy", "till-page-1": "1 healthy"}), first.text
    assert SECRET not in first.text
    assert host.sh(f"stat -c '%n %a %U:%G' {DIR}/.env {DIR}/compose*.yml; cat {DIR}/.env {DIR}/compose.yml") == (
        f"{DIR}/.env 600 root:root\n{DIR}/compose.release.yml 644 root:root\n{DIR}/compose.yml 644 root:root\n{ENV}{COMPOSE}"
    )
    assert host.sh(f"grep -rl {SECRET} /var/lib/controlplane /run/controlplane /var/log 2>/dev/null || true") == ""
    record = json.loads(host.sh("cat /var/lib/controlplane/releases/till.json"))
    assert (record["manifest_name"], record["dir"], record["run"], set(record["files"])) == ("v1", DIR, KEY, {"compose.yml", "compose.release.yml"})
    was = till.state()

    # What an operator's shell exports counts for nothing, and what is there already is left.
    again = play(host, "compose_stack", till.variables(), tmp_path)
    assert (again.code, again.changed, till.state()) == (0, 0, was), again.text

    second = till.build("2")
    other = {**till.images, "till": second["till"]}
    env = ENV.replace(SECRET, f"{SECRET}-2")
    variables = {**till.variables(images=other, manifest="sha256:" + "2" * 64, manifest_name="v2", env=env), "compose_stack_run": NEXT}
    done = play(host, "compose_stack", variables, tmp_path)
    assert (done.code, till.runs()) == (0, {"till": "2 healthy", "till-page-1": "1 healthy"}), done.text
    took = till.journal(NEXT)["downtime_s"]
    # Its environment file changed, so Compose made the page anew, too.
    assert {service for service, seconds in took.items() if 0.5 < seconds < 30} == {"page", "till"}, took
    assert host.sh(f"ls -A {PLACE}; stat -c %a {FOLDER}/before.json /var/lib/controlplane/{NEXT}/before.json") == "file\n600\n600\n"

    # The older one can't be taken back beneath the newer one.
    refused = play(host, "compose_stack", till.variables(run=BACK), tmp_path, tasks_from="rollback")
    assert refused.code != 0
    assert f"run {NEXT} deployed till since: take that back first. Nothing was changed." in refused.said

    back = play(host, "compose_stack", till.variables(run=BACK, rollback_of=NEXT), tmp_path, tasks_from="rollback")
    assert (back.code, till.runs()) == (0, {"till": "1 healthy", "till-page-1": "1 healthy"}), back.text
    assert [line for line in till.state().splitlines() if DIR in line] == [line for line in was.splitlines() if DIR in line]
    assert set(till.journal(BACK)["downtime_s"]) == {"page", "till"}
    assert json.loads(host.sh("cat /var/lib/controlplane/releases/till.json"))["run"] == KEY

    # By hand, on the host: after the first one nothing is left but data.
    assert json.loads(host.sh(f"{FOLDER}/undo"))["changed"] is True
    assert till.runs() == {}
    left = f"test ! -e /opt/stacks; docker volume ls -q; cat {PLACE}/file; ls /var/lib/controlplane/releases; ls /etc/systemd/system | grep settle"
    assert host.sh(f"{left} || true") == "till_kept\nkept\n"
    assert json.loads(host.sh(f"{FOLDER}/undo"))["changed"] is False


@pytest.mark.long
def test_what_only_the_pull_tells_is_refused_while_everything_runs(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    host = machine(services=True)
    till = Till(host, tmp_path)
    assert play(host, "compose_stack", till.variables(), tmp_path).code == 0
    before = till.state()

    def refused(images: Mapping[str, str], said: str) -> str:
        variables = {**till.variables(images=dict(images), manifest="sha256:" + "2" * 64, manifest_name="v2"), "compose_stack_run": NEXT}
        done = play(host, "compose_stack", variables, tmp_path)
        assert (done.code != 0, said in done.said, "Nothing was changed." in done.said) == (True, True, True), done.text
        assert till.state() == before
        assert till.journal(NEXT)["phase"] == "prepared"
        assert json.loads(host.sh(f"/var/lib/controlplane/{NEXT}/undo"))["changed"] is False
        return done.said

    bare = till.build("2", page="")
    refused({**till.images, "page": bare["page"]}, "page has no healthcheck, so nobody could tell whether it works")
    lost = till.build("3", page=HEALTHCHECK, volume="/var/lib/page")
    refused({**till.images, "page": lost["page"]}, "the image of page declares a volume at /var/lib/page, and nothing is mounted there")

    # The registry knows both images, and can't give all of the second.
    torn = till.build("4")
    manifest = torn["till"].rpartition(":")[2]
    blobs = "/var/lib/registry/docker/registry/v2/blobs/sha256"
    host.sh(
        f"config=$(grep -o 'sha256:[0-9a-f]*' {blobs}/{manifest[:2]}/{manifest}/data | head -1 | cut -d: -f2);"
        f" rm {blobs}/${{config:0:2}}/$config/data; systemctl stop registry"
    )
    till.start_registry()
    said = refused(torn, f"{torn['till']} could not be pulled")
    assert f"Pulled before that, and left: {torn['page']}. What runs was not touched." in said

    # A small disk under Docker's root.
    host.sh(
        "systemctl stop docker.socket docker.service; mkdir -p /mnt/small; mount -t tmpfs -o size=150m small /mnt/small;"
        ' echo \'{"data-root": "/mnt/small"}\' > /etc/docker/daemon.json; systemctl start docker'
    )
    full = play(host, "compose_stack", {**till.variables(images=till.images), "compose_stack_run": NEXT}, tmp_path)
    assert full.code != 0
    assert "no space left on device" in full.said, full.text
    assert "What runs was not touched. Nothing was changed." in full.said, full.text
    assert "make room there (docker.hygiene)" in full.said


@pytest.mark.long
def test_a_build_that_never_gets_healthy_fails_and_goes_back_with_its_whole_downtime(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    host = machine(services=True)
    till = Till(host, tmp_path)
    assert play(host, "compose_stack", till.variables(), tmp_path).code == 0
    before = till.state()
    bad = till.build("2", page="HEALTHCHECK --interval=1s --retries=2 CMD false")
    images = {**till.images, "page": bad["page"]}
    variables = {**till.variables(images=images, manifest="sha256:" + "2" * 64, manifest_name="v2", wait_s=30), "compose_stack_run": NEXT}
    failed = play(host, "compose_stack", variables, tmp_path)
    assert failed.code != 0
    for word in ("Compose did not bring till up", "page is unhealthy (docker logs till-page-1)", f"Go back: /var/lib/controlplane/{NEXT}/undo"):
        assert word in failed.said, failed.text
    assert (till.runs(), till.journal(NEXT)["phase"]) == ({"till": "1 healthy", "till-page-1": "2 unhealthy"}, "failed")
    stopped = till.journal(NEXT)["stopped"]["page"]
    back = play(host, "compose_stack", till.variables(run=BACK, rollback_of=NEXT), tmp_path, tasks_from="rollback")
    assert (back.code, till.runs()) == (0, {"till": "1 healthy", "till-page-1": "1 healthy"}), back.text
    assert [line for line in till.state().splitlines() if DIR in line] == [line for line in before.splitlines() if DIR in line]
    # From the moment that the good one stopped, not from the beginning of the way back.
    downtime = till.journal(BACK)["downtime_s"]
    assert set(downtime) == {"page"}
    assert downtime["page"] > till.journal(BACK)["phase_at"]["undoing"] - stopped
