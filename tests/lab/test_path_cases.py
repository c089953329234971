"""storage.persistent_paths: data from wherever they can lie, what is refused, and how little of the compose files changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, planned, verdicts

pytestmark = [pytest.mark.lab, pytest.mark.slow]

ONLY = ("--capability", "storage.data_disk", "--capability", "storage.fstab", "--capability", "storage.persistent_paths")
_RUN = 'command: [sleep, infinity]\n    init: true\n    image: "lab/services:1"'
_STACK = f"""# what the shop keeps
services:
  optioned:
    {_RUN}
    container_name: optioned
    volumes:
      - optioned:/data   # by its options elsewhere
      - /cache
  bound:
    {_RUN}
    container_name: bound
    user: "4242:4343"
    volumes: ["/opt/old:/data", "/etc/hostname:/etc/name:ro"]
  within:
    {_RUN}
    container_name: within
    volumes:
      - type: volume
        source: within
        target: /srv
    # the end of it
  two:
    {_RUN}
    container_name: two
    volumes: [/data, /other]
  inside:
    {_RUN}
    container_name: inside
    volumes: [/srv]
  linked:
    {_RUN}
    container_name: linked
    volumes: [linked:/srv]
  shares:
    {_RUN}
    container_name: shares
    volumes: [common:/data]
  shared:
    {_RUN}
    container_name: shared
    volumes: [common:/data]
  variable:
    {_RUN}
    container_name: variable
    volumes: ["variable:${{WHERE:-/data}}"]
volumes:
  optioned:
    driver_opts: {{type: none, o: bind, device: /opt/elsewhere}}
  within: {{}}
  linked: {{}}
  common: {{}}
  variable: {{}}
"""
_OVER = f"""services:
  over:
    {_RUN}
    container_name: over
    volumes: [over:/data]
volumes: {{over: }}
"""
_PROOF = 'proof: [sh, -c, "find /data /srv -type f 2>/dev/null | sort | xargs cat | sha256sum"]'
_PLACES = {
    "optioned": "/data",
    "bound": "/data",
    "within": "/srv/deep",
    "two": "/data",
    "inside": "/srv/deep",
    "linked": "/srv/deep",
    "shares": "/data",
    "variable": "/data",
}
# With what comes from an anonymous volume goes one of its layer, and with what comes from a directory one that is not there so far.
_SURFACES = """    write_surfaces:
      - {container: two, path: /srv/layer, place: /mnt/data/shop/two-layer}
      - {container: bound, path: /srv/new, place: /mnt/data/shop/bound-new, owner: "4242:4343", mode: "0750"}
"""
_REFUSED = ("linked", "shares", "variable", "alone")
_POLICY = "".join(
    f"      {name}: {{kind: files, data: {data}, place: /mnt/data/shop/{name}, {_PROOF}}}\n"
    for name, data in {**_PLACES, "over": "/data", "alone": "/data"}.items()
)


def shop(machine: Callable[..., LabMachine], folder: Path) -> tuple[LabMachine, Operator]:
    """Return a machine with containers whose data lie in every way, and an operator whose policy wants each at a place."""
    host = machine(services=True)
    host.sh("mkdir -p /opt/stacks/shop /opt/stacks/over /opt/old /opt/elsewhere && chown 4242:4343 /opt/old")
    host.run(["sh", "-c", "cat > /opt/stacks/shop/compose.yml"], stdin=_STACK.encode())
    host.run(["sh", "-c", "cat > /opt/stacks/over/compose.yml"], stdin=_OVER.encode())
    host.sh("for stack in shop over; do docker compose -f /opt/stacks/$stack/compose.yml up -d --wait; done")
    host.sh("docker run -d --name alone --init -v alone:/data lab/services:1 sleep infinity")
    for name, data in {**_PLACES, "over": "/data", "alone": "/data"}.items():
        if name != "linked":
            host.sh(
                f"docker exec {name} sh -c 'mkdir -p {data}; echo {name} > {data}/of-{name}; echo more > {data}/more; ln {data}/more {data}/again'"
            )
    host.sh(
        "docker exec two sh -c 'echo kept > /other/kept; mkdir /srv/layer; echo layer > /srv/layer/file'; docker exec linked ln -s /etc /srv/deep"
    )
    site = Operator(host, folder)
    policy = site.site / "policy.yml"
    head, found, _ = policy.read_text().partition("    services:\n")
    assert found
    stacks = "    stacks: [{project: over, dir: /opt/stacks/over, edit: override}, {project: shop, dir: /opt/stacks/shop}]\n"
    policy.write_text(f"{head}    services:\n{_POLICY}{_SURFACES}{stacks}")
    return host, site


def test_data_are_moved_from_wherever_they_lie_and_the_files_change_in_nothing_else(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    host, site = shop(machine, tmp_path)
    volumes = set(host.sh("docker volume ls -q").split())
    plan = site.plan("plan.json", *ONLY)
    reasons = {refusal["reason"].split(":")[0]: refusal["reason"] for refusal in plan["refusals"]}
    assert "mkdir -p /mnt/data/shop/alone && docker cp alone:/data/. - | tar -xp --numeric-owner -C /mnt/data/shop/alone;" in reasons["alone"]
    assert "leads to /etc by a symbolic link" in reasons["linked"]
    assert "shared also mounts" in reasons["shares"]
    # What only its compose file tells is refused by the role, before anything of that service is touched.
    policy = site.site / "policy.yml"
    kept = [line for line in policy.read_text().splitlines() if not any(line.strip().startswith(f"{name}: {{kind") for name in _REFUSED)]
    policy.write_text("\n".join(kept) + "\n")
    plan = site.plan("plan.json", *ONLY)
    result = site.applied()
    assert result["changed"] == planned(plan)
    assert verdicts(result["verify"], plan) == {"MET"}
    for name, data in {**_PLACES, "over": "/data"}.items():
        if name not in _REFUSED:
            assert host.sh(f"docker exec {name} sh -c 'cat {data}/of-{name}; stat -c %h {data}/again'").split() == [name, "2"], name
            assert host.sh(f"cat /mnt/data/shop/{name}/of-{name}") == f"{name}\n"
    assert host.sh("stat -c %u:%g /mnt/data/shop/bound /mnt/data/shop/bound/more").split() == ["4242:4343"] * 2
    assert host.sh("docker exec two cat /other/kept /srv/layer/file; docker exec bound stat -c %u:%g:%a /srv/new") == "kept\nlayer\n4242:4343:750\n"
    assert volumes <= set(host.sh("docker volume ls -q").split())
    assert host.sh("cat /opt/elsewhere/of-optioned /opt/old/of-bound") == "optioned\nbound\n"

    def long(source: str, target: str) -> str:
        return f"{{type: bind, source: /mnt/data/shop/{source}, target: {target}, bind: {{create_host_path: false}}}}"

    block = "- type: bind\n        source: /mnt/data/shop/{0}\n        target: {1}\n        bind: {{create_host_path: false}}"
    wanted = (
        _STACK.replace("services:\n", "name: shop\nservices:\n", 1)
        .replace("- optioned:/data", block.format("optioned", "/data"))
        .replace(
            '"/opt/old:/data", "/etc/hostname:/etc/name:ro"',
            f'{long("bound", "/data")}, "/etc/hostname:/etc/name:ro", {long("bound-new", "/srv/new")}',
        )
        .replace("        target: /srv\n", "        target: /srv\n      " + block.format("within", "/srv/deep") + "\n", 1)
        .replace("[/data, /other]", f"[{long('two', '/data')}, /other, {long('two-layer', '/srv/layer')}]")
        .replace("volumes: [/srv]", f"volumes: [/srv, {long('inside', '/srv/deep')}]")
    )
    assert host.sh("cat /opt/stacks/shop/compose.yml") == wanted
    assert host.sh("cat /opt/stacks/over/compose.yml") == _OVER
    assert host.sh("cat /opt/stacks/over/compose.override.yml") == (f"name: over\nservices:\n  over:\n    volumes: [{long('over', '/data')}]\n")
    # Whoever works there afterwards finds nothing to bring up.
    said = host.sh("for stack in shop over; do cd /opt/stacks/$stack && docker compose up -d 2>&1; done")
    assert "Recreate" not in said, said

    host.sh("docker exec inside sh -c 'echo newer > /srv/deep/more; echo beside > /srv/beside'")
    host.sh("docker exec two sh -c 'echo newer > /srv/layer/newer'; docker exec bound sh -c 'echo newer > /srv/new/newer'")
    back = site.run("rollback", result["run"], "-o", "json")
    assert back.code == 0, back.err
    # Both come from one anonymous volume, which is a new one: what was moved out of it is the newest there.
    assert host.sh("docker exec inside cat /srv/deep/more /srv/beside") == "newer\nbeside\n"
    for name, data in {**_PLACES, "over": "/data"}.items():
        if name not in _REFUSED:
            assert host.sh(f"docker exec {name} cat {data}/of-{name}") == f"{name}\n"
            assert "/mnt/data" not in host.sh(f"docker inspect -f '{{{{json .Mounts}}}}' {name}")
    # Its other anonymous volume became a new one as well, with all that was in it.
    assert host.sh("docker exec two cat /other/kept /srv/layer/file /srv/layer/newer; docker exec bound cat /srv/new/newer").split() == [
        "kept",
        "layer",
        "newer",
        "newer",
    ]
    assert host.sh("cat /opt/stacks/shop/compose.yml") == _STACK
    assert host.run(["test", "-e", "/opt/stacks/over/compose.override.yml"]).returncode == 1


def test_what_only_its_compose_file_tells_is_refused_by_the_role_and_nothing_stops(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    host, site = shop(machine, tmp_path)
    policy = site.site / "policy.yml"
    policy.write_text("\n".join(line for line in policy.read_text().splitlines() if "{kind: files" not in line or " variable: " in line) + "\n")
    site.plan("one.json", *ONLY)
    started = host.sh("docker inspect -f '{{.State.StartedAt}}' variable")
    said = site.apply("one.json")
    assert said.code == 1, said
    assert "names its target by a variable" in said.err, said.err
    assert "Nothing was changed" in said.err
    assert host.sh("docker inspect -f '{{.State.StartedAt}}' variable") == started
    # A tenant that puts a link there after the plan was made is stopped by the role as well: what it leads to is never read.
    policy.write_text(
        policy.read_text().replace("variable: {kind: files, data: /data", "within: {kind: files, data: /srv/deep").replace("/variable", "/within")
    )
    site.plan("two.json", *ONLY)
    host.sh("docker exec within sh -c 'mv /srv/deep /srv/away && ln -s /etc /srv/deep'")
    said = site.apply("two.json")
    assert said.code in (1, 4), said
    assert "link" in said.err, said.err
    assert host.run(["test", "-e", "/mnt/data/shop/within/passwd"]).returncode == 1


_D244 = ("audit", "--check", "D244", "-o", "json")


@pytest.mark.long
def test_a_part_of_a_volume_is_purged_alone_and_what_would_see_it_go_is_named(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    host, site = shop(machine, tmp_path)
    policy = site.site / "policy.yml"
    kept = [line for line in policy.read_text().splitlines() if not any(line.strip().startswith(f"{name}: {{kind") for name in _REFUSED)]
    policy.write_text("\n".join(kept) + "\n")
    for name in ("within", "inside"):
        host.sh(f"docker exec {name} sh -c 'echo beside > /srv/beside; mkdir /srv/other; echo other > /srv/other/file'")
    site.plan("plan.json", *ONLY)
    site.applied()
    folder = "docker inspect -f '{{range .Mounts}}{{if eq .Destination \"/srv\"}}{{.Source}}{{end}}{{end}}'"
    wholes = [host.sh(f"{folder} {name}").strip() for name in ("within", "inside")]

    def rest() -> str:
        """Return all of both volumes but the part that moved (names, kinds, owners, sizes, times, inodes, contents), and since when they are used."""
        listed = "find . -path ./deep -prune -o -printf '%P %y %m %U:%G %s %T@ %i\\n' | sort; cat beside other/file"
        started = host.sh("docker inspect -f '{{.State.StartedAt}}' within inside")
        return started + "".join(host.sh(f"cd {whole} && {listed}") for whole in wholes)

    before, parts = rest(), [f"{whole}/deep" for whole in wholes]
    assert host.sh(f"cat {parts[0]}/of-within {parts[1]}/of-inside") == "within\ninside\n"
    site.write_site(retention="1s")
    time.sleep(2)

    # Who mounts the same volume and nothing over the part would see it go. That keeps this one path, and no other.
    host.sh("docker run -d --name reader -v shop_within:/x:ro lab/services:1 sleep infinity")
    some = site.plan("some.json", "--capability", "storage.purge")
    assert parts[0] not in {change["target"] for change in some["steps"][0]["changes"]}
    assert parts[1] in {change["target"] for change in some["steps"][0]["changes"]}
    [refusal] = some["refusals"]
    assert refusal["reason"].startswith(f"{parts[0]}: container reader mounts volume shop_within, in which it lies, with nothing over it at /x/deep")
    site.applied("some.json")
    assert rest() == before
    assert host.sh(f"cat {parts[0]}/of-within; ls -A {parts[1]}; docker exec reader cat /x/deep/of-within") == "within\nwithin\n"
    [left] = site.run(*_D244).json["findings"]
    assert (left["surface"], left["verdict"], left["severity"]) == (f"retired:{parts[0]}", "DRIFTED", "medium")

    host.sh("docker rm -f reader")
    doomed = site.plan("purge.json", "--capability", "storage.purge")
    assert ([change["target"] for change in doomed["steps"][0]["changes"]], doomed["refusals"]) == ([parts[0]], [])
    assert "the empty folder stays for a mount of within to stand on" in doomed["steps"][0]["undo"]
    site.applied("purge.json")
    [judged] = site.run(*_D244).json["findings"]
    assert (judged["surface"], judged["verdict"]) == ("retired:*", "MET")
    assert rest() == before
    assert host.sh(f"ls -A {parts[0]} {parts[1]} | grep -v :").split() == []
    volumes = set(host.sh("docker volume ls -q").split())
    assert "shop_within" in volumes
    assert not {"shop_optioned", "over_over"} & volumes
    assert host.sh("ls -d /opt/old /opt/elsewhere 2>/dev/null || true") == ""
    # The mounts stand where they stood, also once the containers start anew.
    for again in (False, True):
        if again:
            host.sh("docker restart within inside")
        for name in ("within", "inside"):
            assert host.sh(f"docker exec {name} cat /srv/deep/of-{name} /srv/beside") == f"{name}\nbeside\n"
    assert site.applied("purge.json")["changed"] == []
    site.assert_receipts_hold()
