"""Releases on two machines, by the command line alone: staged, proven, promoted, found to be bad, taken back by itself and by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.lab.lab import Lab
from controlplane.adapters.strict_yaml import parse_document
from tests.lab.canary import found_below, watched_arguments
from tests.lab.conftest import LabMachine
from tests.lab.operating import Target
from tests.releases.builds import Builder
from tests.releases.governance import ELSEWHERE, GAP, LOOP, OTHER_GAP, PACK, shut_now
from tests.releases.hosts import fill, give_up_a_pull_at_once, make_room
from tests.releases.registry import Registry
from tests.releases.site import DIR, PLACES, STACK, ReleaseSite
from tests.releases.steps import assert_runs, carry_out, plan_of, preview, prove, shut

pytestmark = [pytest.mark.lab, pytest.mark.slow]

Make = Callable[..., LabMachine]
LARGE = 24 * 2**20
MIGRATION = "orders gained a priority, which the release before does not know"


def asked(machine: LabMachine, sql: str) -> list[str]:
    done = machine.run(["docker", "exec", "storefront-postgres-1", "psql", "-U", "postgres", "-qAtc", sql])
    assert done.returncode == 0, done
    return done.stdout.split()


def test_a_release_is_proven_promoted_and_taken_back(machine: Make, lab: Lab, registry: Registry, tmp_path: Path) -> None:
    staging, production, build = machine(data_disk=False, services=False), machine(services=False), Builder(registry, lab.home)
    with ReleaseSite(tmp_path, staging, production, approval="self") as site, watched_arguments(site.token) as seen:
        for host in (staging, production):
            registry.open_to(host)
            # A tag that is exported wherever a shell may read it: it names a stub.
            host.sh("echo MINT_TAG=1.1.0 >> /etc/environment")
            assert host.sh("echo $MINT_TAG") == "1.1.0\n"
        give_up_a_pull_at_once(production)
        site.env["MINT_TAG"] = "1.1.0"
        site.write_spec(promotion={"pack": PACK, "windows": [shut_now()]})
        first, stub = build.good("1.0.0"), build.stub("1.1.0", "order-intake")
        site.write_manifest("v1", first)
        site.write_manifest("v1-stub", stub)
        site.did("release", "check", STACK)
        site.govern()
        site.make_ready(reboot=True)

        preview(site, "stage", "v1")
        words = ("release", "stage", STACK, "--plan", plan_of(site, "v1"))
        said = site.run(*words)
        assert (said.code, "Nothing was changed." in said.err) == (4, True), said
        assert site.running("staging") == {}
        site.did("approve", plan_of(site, "v1"))
        site.did(*words)
        assert_runs(site, "staging", first)
        assert shut(site, "v1") == {"smoke", "recert", f"pack {PACK}", "gaps", "window", "approval"}
        prove(site, "v1")
        pack = an_open_gap_and_a_shut_window_keep_it_from_production(site)
        a_promotion_whose_controller_dies_half_way_is_told_and_ended_by_the_same_command(site)
        assert_runs(site, "production", first)
        assert staging.sh(f"stat -c '%a %U' {DIR}/.env") == "600 root\n"

        a_healthy_stub_goes_no_further_than_staging(site, stub)
        a_build_that_is_bad_in_production_goes_back_by_itself(site, build, first)
        a_release_goes_back_when_it_is_asked_to(site, build, first, registry)
        what_runs_and_is_proven_is_closed(site, pack)

        status = site.did("release", "status", STACK)
        assert {place["environment"]: place["manifest"] for place in status["releases"][0]["environments"]} == {"staging": "v3", "production": "v1"}
        assert seen == [], "the token stood in arguments"
        own = {str(site.releases / STACK / f".env.{where}") for where in site.machines}
        assert set(found_below(site.token, site.site)) == own
        for host in (staging, production):
            # What Docker hands to a healthcheck's process lies in /tmp for a moment.
            look = ["grep", "-rlF", "--exclude=runc-process*", site.token, DIR, "/var/lib/controlplane", "/tmp", "/root"]
            held = {path for path in host.run(look).stdout.split() if not path.startswith("/var/lib/controlplane/") or not path.endswith(".env")}
            assert held == {f"{DIR}/.env"}


def an_open_gap_and_a_shut_window_keep_it_from_production(site: ReleaseSite) -> str:
    """The plan of that look, approved, meets the gate until nothing is missing; return the pack's run on which the gap was closed."""
    plan = plan_of(site, "v1", "promote")
    site.did("approve", plan)
    a_shut_gate_refuses(site, plan, gaps=f"{GAP} is open in {LOOP}    (controlplane gaps close {GAP})", window="no maintenance window is open")
    [run] = closed_on(site, GAP)
    a_shut_gate_refuses(site, plan, window="no maintenance window is open")
    # From here on the site's own window counts, which is open.
    site.write_spec()
    return run


def a_shut_gate_refuses(site: ReleaseSite, plan: str, **told: str) -> None:
    """A promotion is refused for these lines of its gate and no other, and neither begun nor on record."""
    receipts = site.receipts()
    said = site.run("release", "promote", STACK, "--plan", plan)
    lines = dict(line.strip().split(": ", 1) for line in said.err.splitlines() if line.startswith("  "))
    assert (said.code, lines.keys(), "Nothing was changed." in said.err) == (4, told.keys(), True), said
    assert all(lines[name].startswith(words) for name, words in told.items()), said
    assert (site.receipts(), site.running("production")) == (receipts, {})


def closed_on(site: ReleaseSite, gap: str) -> list[str]:
    """Close a gap by what the pack showed; return the runs that its register names."""
    site.did("gaps", "close", gap)
    held: Any = parse_document((site.site / "registers/gaps.yml").read_text(), "gaps.yml").data
    assert held["gaps"][gap]["status"] == "fixed", held
    return list(held["gaps"][gap]["closed"]["runs"])


def a_promotion_whose_controller_dies_half_way_is_told_and_ended_by_the_same_command(site: ReleaseSite) -> None:
    """It dies while Compose brings production up for the first time; what is ended needs no second approval, and is proven."""
    host, plan = site.machines["production"], plan_of(site, "v1", "promote")
    words = ("release", "promote", STACK, "--plan", plan)
    running = site.start(*words)
    Target(host).wait_for_phase("deploying", running=running)
    running.kill()
    [status] = site.did("release", "status", STACK, code=3)["releases"]
    places = {place["environment"]: place for place in status["environments"]}
    assert [(one["brought"], one["verdict"]) for one in places["staging"]["hosts"]] == [("v1", "MET")], status
    [seen] = places["production"]["hosts"]
    assert (seen["brought"], seen["open"]["manifest"], seen["open"]["state"]) == (None, "v1", "open"), status
    assert seen["reason"].startswith("v1 was begun here and did not end: "), status
    assert status["next"].startswith(f"controlplane release promote {STACK} --plan "), status
    result = site.did(*words)
    assert (result["outcome"], result["deployed"]["run"], result["proof"]["environment"]) == ("done", seen["open"]["run"], "production"), result


def a_healthy_stub_goes_no_further_than_staging(site: ReleaseSite, stub: dict[str, str]) -> None:
    carry_out(site, "stage", "v1-stub")
    assert site.running("staging") == stub
    report = site.did("release", "smoke", STACK, "--env", "staging", code=1)
    assert [test["outcome"] for test in report["tests"]].count("failed") == 3
    assert shut(site, "v1-stub") >= {"smoke"}


def a_build_that_is_bad_in_production_goes_back_by_itself(site: ReleaseSite, build: Builder, first: dict[str, str]) -> None:
    """It passes everything in staging."""
    orders = asked(site.machines["production"], "select count(*) from orders")
    site.write_manifest("v2", build.sleeper("2.0.0", migration=True), irreversible=[MIGRATION])
    carry_out(site, "stage", "v2")
    prove(site, "v2")
    site.make_ready()
    result = carry_out(site, "promote", "v2", code=1)
    assert result["outcome"] == "rolled-back"
    assert "v2 was taken back by itself" in " ".join(result["messages"])
    assert MIGRATION in " ".join(result["messages"])
    # What is proven counts orders too.
    assert int(asked(site.machines["production"], "select count(*) from orders")[0]) > int(orders[0])
    assert_runs(site, "production", first)


def a_release_goes_back_when_it_is_asked_to(site: ReleaseSite, build: Builder, first: dict[str, str], registry: Registry) -> None:
    third = build.good("3.0.0", migration=True, ballast=LARGE)
    site.write_manifest("v3", third, irreversible=[MIGRATION])
    carry_out(site, "stage", "v3")
    prove(site, "v3")
    site.make_ready()
    what_production_can_not_take_leaves_what_runs_there(site, registry, first)
    carry_out(site, "promote", "v3")
    assert_runs(site, "production", third)
    what_would_go_back_is_asked_of_the_host(site)
    assert site.running("production") == third
    a_rollback_whose_controller_dies_half_way_is_told_and_ended_by_another(site)
    assert_runs(site, "production", first)
    assert "0002-priority" in asked(site.machines["production"], "select name from migrations")


def what_production_can_not_take_leaves_what_runs_there(site: ReleaseSite, registry: Registry, first: dict[str, str]) -> None:
    """A place that is missing shuts the gate; what fails in the pull comes back by itself, and is proven. Each container stays the same one."""
    host = site.machines["production"]
    containers = host.sh("docker ps -q --no-trunc | sort")
    plan = approved(site)
    for case in (a_bind_source_that_is_not_there, a_registry_that_dies_in_the_middle, a_disk_that_is_full):
        case(site, registry, plan)
        assert (host.sh("docker ps -q --no-trunc | sort"), site.running("production")) == (containers, first), case.__name__


def a_bind_source_that_is_not_there(site: ReleaseSite, _registry: Registry, plan: str) -> None:
    """Docker would make an empty folder in its place; the one that is mounted stays in the container that runs."""
    host, place = site.machines["production"], PLACES[1]
    receipts = site.receipts()
    host.sh(f"mv {place} {place}.away")
    said = site.run("release", "promote", STACK, "--plan", plan)
    host.sh(f"mv {place}.away {place}")
    assert (said.code, place in said.err, "Nothing was changed." in said.err) == (4, True, True), said
    assert site.receipts() == receipts


def a_registry_that_dies_in_the_middle(site: ReleaseSite, registry: Registry, plan: str) -> None:
    """What was refused before anything was begun used up neither plan nor approval."""
    registry.stop_after(LARGE // 2)
    result = site.did("release", "promote", STACK, "--plan", plan, code=1)
    assert registry.is_down()
    registry.start()
    # A deployment ends what its host was judged ready by, however it ended itself.
    site.make_ready()
    assert (result["outcome"], "could not be pulled" in " ".join(result["messages"])) == ("rolled-back", True), result


def a_disk_that_is_full(site: ReleaseSite, _registry: Registry, _plan: str) -> None:
    """What was taken back is planned and approved anew."""
    plan = approved(site)
    # The layer fits once, not twice as its pull needs it, and a database finds room for its next log.
    fill(site.machines["production"], leave=LARGE + 2**24)
    result = site.did("release", "promote", STACK, "--plan", plan, code=1)
    make_room(site.machines["production"])
    messages = " ".join(result["messages"])
    if result["outcome"] == "failed":
        # The database itself met the full disk during the proof: what is said to do then has to do.
        assert "Prove it again: controlplane release rollback storefront --env production --to v1" in messages, messages
        result = site.did("release", "rollback", STACK, "--env", "production", "--to", "v1")
    site.make_ready()
    assert (result["outcome"], "no space left" in messages) == ("rolled-back", True), messages


def approved(site: ReleaseSite) -> str:
    """Plan and approve the promotion of v3; return its plan's file."""
    gate = {line["name"]: line for line in preview(site, "promote", "v3")["gate"]}
    back = gate[f"way back of {site.machines['production'].name}"]
    assert (back["verdict"], back["reason"].startswith("to v1: its images are there")) == ("MET", True), back
    plan = plan_of(site, "v3", "promote")
    site.did("approve", plan)
    return plan


def what_would_go_back_is_asked_of_the_host(site: ReleaseSite) -> None:
    receipts = site.receipts()
    told = site.did("release", "rollback", STACK, "--env", "production", "--dry-run", code=3)
    assert (told["leaves"], told["to"], told["not_undone"]) == ("v3", "v1", [f"{MIGRATION} (v3)"])
    assert {line["verdict"] for line in told["gate"]} == {"MET"}, told["gate"]
    [change] = told["changes"]
    assert change["runs"].startswith("v3: MET: ")
    assert {one["target"] for one in change["services"]} == {"files-api", "order-intake", "quote-page"}
    assert [one["target"] for one in change["files"]] == [f"{DIR}/compose.release.yml"]
    assert site.receipts() == receipts


def a_rollback_whose_controller_dies_half_way_is_told_and_ended_by_another(site: ReleaseSite) -> None:
    """It dies while Compose brings back what ran; the one that ends it names where to, and takes nothing more back than that."""
    words, host = ("release", "rollback", STACK, "--env", "production"), site.machines["production"]
    running = site.start(*words)
    Target(host).wait_for_phase("undoing", running=running)
    running.kill()
    [status] = site.did("release", "status", STACK, code=3)["releases"]
    places = {place["environment"]: place for place in status["environments"]}
    [seen] = places["production"]["hosts"]
    assert (seen["brought"], seen["open"]["manifest"], seen["open"]["state"]) == ("v1", "v3", "returning"), status
    assert places["production"]["doubt"].startswith("a deployment has not ended: "), status
    assert [(one["brought"], one["verdict"]) for one in places["staging"]["hosts"]] == [("v3", "MET")], status
    assert status["next"] == f"controlplane {' '.join(words)}", status
    result = site.did(*words, "--to", "v1")
    assert (result["outcome"], result["manifest"], result["proof"]["environment"]) == ("rolled-back", "v1", "production"), result
    # Either command comes to the same end once more, and goes no further.
    receipts = site.receipts()
    for more in ((), ("--to", "v1")):
        again = site.did(*words, *more)
        assert (again["outcome"], again["returned"], again["manifest"], site.receipts()) == ("rolled-back", [], "v1", receipts), again
        assert again["messages"][0].startswith("v3, brought last to production by run "), again


def what_runs_and_is_proven_is_closed(site: ReleaseSite, pack: str) -> None:
    """`pack` is the pack's run before v1 went to production; a gap was filed since."""
    after, filed = site.did("gates", "run", PACK)["run"], site.did("gaps", "file", "--title", "v3 went back", "--loop", ELSEWHERE)["id"]
    made = site.did("release", "close", STACK, "--env", "production", "--attest", "orders come in, seen by me", "--deferred", "the second shop")
    assert (made["manifest"], made["environment"], made["deferred"]) == ("v1", "production", ["the second shop"])
    assert {"smoke in staging", "recertification", "smoke in production"} <= {one["what"] for one in made["evidence"]}
    assert made["actions"]
    # v1 was the first there.
    name = site.machines["production"].name
    assert [(one["host"], one["manifest"]) for one in made["before"]["state"]["hosts"]] == [(name, None)], made["before"]
    assert [(one["host"], one["manifest"], one["verdict"]) for one in made["after"]["state"]["hosts"]] == [(name, "v1", "MET")], made["after"]
    assert {made[when]["authority"]["verdict"] for when in ("before", "after")} == {"GOVERNED"}, made
    packs = [(one["pack"], one["when"], one["run"], one["passed"]) for one in made["packs"]]
    assert packs == [(PACK, "before", pack, True), (PACK, "after", after, True)], made["packs"]
    assert [[one["gap"] for one in made[when]["gaps"]] for when in ("before", "after")] == [[OTHER_GAP], [OTHER_GAP, filed]], made
    assert (made["own_loop"], made["own_gaps"], made["open_loops"]) == (LOOP, [], [LOOP, ELSEWHERE]), made
    verified = site.did("receipts", "verify")
    assert (verified["faults"], [anchor["closing"] for anchor in verified["anchors"]]) == ([], ["release.close"])
    page = (site.site / made["page"]).read_text()
    assert "orders come in, seen by me" in page
