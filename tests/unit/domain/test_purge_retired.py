"""storage.purge: whoever uses a retired tree, or would see it go, is a refusal of that tree alone, and D244 names him."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.asking import what_to_ask
from controlplane.domain.checks import judge_host
from controlplane.domain.finding import Finding
from controlplane.domain.plan import Plan
from controlplane.domain.planning import chosen_capabilities, make_plan
from tests.fakes.evidence_builder import BOOT, COLLECTED, MINIO, EvidenceBuilder, bind, container, desired_mint_data, mount, place

ID = "storage.purge"
ROOT = "/var/lib/docker"
WHOLE = f"{ROOT}/volumes/shop/_data"
DEEP = f"{WHOLE}/deep"
NEW = "/mnt/data/mint-data/deep"
Spoil = Callable[[EvidenceBuilder], object]


def retired(path: str, **other: Any) -> dict[str, Any]:
    plain = {"path": path, "run": "R1", "retired_at": "2026-01-01T00:00:00Z", "size": 9, "entries": 3, "exists": True, "recorded": "sha256:a"}
    return plain | {"fingerprint": "sha256:a", "unreadable": None, "purging": None, "replaced_by": NEW, "volume": None, "base": None} | other


def volume(name: str, source: str, destination: str, **other: Any) -> dict[str, Any]:
    plain = {"type": "volume", "name": name, "source": source, "destination": destination, "rw": True, "anonymous": False, "host_path": source}
    return plain | other


def shop(*items: dict[str, Any], options: dict[str, str] | None = None) -> EvidenceBuilder:
    """Return a host on which `deep` moved out of volume shop, which its container still mounts, and another tree was retired beside it."""
    builder = EvidenceBuilder()
    seen = {"name": "shop", "driver": "local", "mountpoint": WHOLE, "options": options or {}, "anonymous": False, "in_use_by": ["within"]}
    builder.probes["docker_volumes"] = [seen]
    builder.probes["docker_containers"].append(container("within", [volume("shop", WHOLE, "/srv"), bind(NEW, "/srv/deep")]))
    builder.probes["target_state"]["retired"] = [*(items or [retired(DEEP, volume="shop")]), retired("/var/lib/containerd.old")]
    return builder


def plan(builder: EvidenceBuilder) -> Plan:
    wanted = desired_mint_data()
    return make_plan(
        site="lab",
        now=COLLECTED + timedelta(days=30),
        hosts=[wanted],
        evidence={"mint-data": builder.build().model_copy(update={"asked": what_to_ask(wanted)})},
        policy="p",
        inventory="i",
        roles="r",
        capabilities=chosen_capabilities([ID]),
        retention=timedelta(days=7),
    )


def planned(made: Plan) -> list[str]:
    return [item["path"] for step in made.steps for item in step.variables["purge_retired_items"]]


def found(builder: EvidenceBuilder) -> dict[str, Finding]:
    findings = judge_host(desired_mint_data(), builder.build(), now=COLLECTED + timedelta(minutes=1), max_age=timedelta(hours=1))
    return {one.surface: one for one in findings if one.check == "D244"}


def add(name: str, *mounts: dict[str, Any], **other: Any) -> Spoil:
    return lambda builder: builder.probes["docker_containers"].append(container(name, list(mounts), **other))


def test_a_part_of_a_volume_that_its_container_covers_is_planned_and_the_preview_says_that_its_folder_stays() -> None:
    made = plan(shop())
    assert (planned(made), made.refusals) == ([DEEP, "/var/lib/containerd.old"], ())
    assert f"{DEEP}: all that is in it goes, the empty folder stays for a mount of within to stand on" in made.steps[0].undo
    assert "containerd.old: all that" not in made.steps[0].undo


SEEN = "container other mounts volume shop, in which it lies, with nothing over it at /x/deep: give /x/deep a mount of its own there"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (add("other", volume("shop", WHOLE, "/x")), SEEN),
        (add("other", volume("shop", WHOLE, "/x", rw=False), running=False), SEEN),
        (add("other", volume("shop", WHOLE, "/x"), bind("/tmp", "/x/deep/below")), SEEN),
        (add("other", bind(WHOLE, "/x", rw=False)), f"container other mounts {WHOLE}, in which it lies"),
        (add("other", bind(f"{DEEP}/below", "/x")), f"container other mounts {DEEP}/below at /x: take that out of its compose file first"),
        (lambda b: b.probes["mounts"].append(mount(f"{DEEP}/more", BOOT)), "it is a mountpoint or holds one"),
        (
            lambda b: b.probes["target_state"]["runs"].append(
                {"run": "R9", "role": "persistent_paths", "phase": "staging", "unit": None, "unit_active": False, "needs": [DEEP]}
            ),
            "run R9 is open and needs it",
        ),
    ],
)
def test_whoever_would_see_it_go_keeps_that_tree_alone_by_name_and_so_says_its_check(spoil: Spoil, reason: str) -> None:
    builder = shop()
    spoil(builder)
    made = plan(builder)
    assert planned(made) == ["/var/lib/containerd.old"]
    [refusal] = made.refusals
    assert refusal.reason.startswith(f"{DEEP}: {reason}")
    judged = found(builder)
    assert (judged[f"retired:{DEEP}"].severity, judged["retired:/var/lib/containerd.old"].severity) == ("medium", "low")
    assert f"a purge would refuse it: {reason}" in judged[f"retired:{DEEP}"].reason


@pytest.mark.parametrize(
    "spoil",
    [
        add("other", volume("shop", WHOLE, "/x"), bind("/tmp", "/x/deep", rw=False)),
        add("other", volume("shop", WHOLE, "/x"), tmpfs=["/x/deep"]),
        add("other", bind(f"{ROOT}/volumes", "/volumes")),
        add("other", bind("/", "/rootfs", rw=False)),
    ],
)
def test_whoever_does_not_see_it_or_has_a_view_of_the_host_is_not_in_the_way(spoil: Spoil) -> None:
    builder = shop()
    spoil(builder)
    made = plan(builder)
    assert (DEEP in planned(made), made.refusals) == (True, ())


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("beside", None),
        ("deep/sub", f"container other mounts {DEEP}/sub at /x: take that out"),
        ("/deep", f"container other mounts {DEEP} at /x: take that out"),
        # What lies over the volume's part is within the folder that it mounts.
        ("", None),
    ],
)
def test_a_folder_of_a_volume_that_is_mounted_alone_is_looked_at_as_that_folder(folder: str, reason: str | None) -> None:
    builder = shop()
    add("other", volume("shop", WHOLE, "/x", **({"subpath": folder} if folder else {})), bind("/tmp", "/x/deep"))(builder)
    made = plan(builder)
    assert (DEEP in planned(made)) is (reason is None)
    assert [one.reason.startswith(f"{DEEP}: {reason}") for one in made.refusals] == [True] * (reason is not None)


def test_a_whole_volume_is_in_the_way_as_long_as_a_container_has_it() -> None:
    made = plan(shop(retired(WHOLE, volume="shop")))
    assert planned(made) == ["/var/lib/containerd.old"]
    assert made.refusals[0].reason == f"{WHOLE}: volume shop belongs to container within"


def test_what_an_options_device_holds_is_a_part_of_its_volume() -> None:
    builder = shop(retired("/opt/elsewhere/deep", volume="shop"), options={"o": "bind", "device": "/opt/elsewhere"})
    builder.container("within")["mounts"][0]["host_path"] = "/opt/elsewhere"
    assert plan(builder).refusals == ()
    add("other", volume("shop", WHOLE, "/x", host_path="/opt/elsewhere"))(builder)
    assert SEEN in plan(builder).refusals[0].reason


@pytest.mark.parametrize(
    ("source", "rw", "is_kept"), [("/srv", False, False), ("/srv", True, True), ("/srv/app", False, True), ("/srv/other", True, False)]
)
def test_of_a_bind_those_who_write_above_are_in_the_way_and_those_who_read_what_it_lay_in(source: str, rw: bool, is_kept: bool) -> None:
    builder = shop(retired("/srv/app/uploads", base="/srv/app"))
    add("app", bind("/srv/app", "/app"), bind(NEW, "/app/uploads"))(builder)
    assert plan(builder).refusals == ()
    add("other", bind(source, "/x", rw=rw))(builder)
    assert (planned(plan(builder)) == ["/var/lib/containerd.old"]) == is_kept
    # By where it really lies.
    builder.container("other")["mounts"][0].update(source="/link", host_path="/link")
    builder.probes["paths"]["/link"] = place("/link", BOOT, "/") | {"real": source}
    assert (planned(plan(builder)) == ["/var/lib/containerd.old"]) == is_kept


def test_a_live_root_is_in_the_way_of_all_but_volumes() -> None:
    builder = shop(retired("/mnt/data/docker/old"))
    assert "it is, holds or lies in the live root /mnt/data/docker" in plan(builder).refusals[0].reason
    builder = shop(retired("/mnt/data/docker/.controlplane-retired/R1"))
    assert plan(builder).refusals == ()


def test_evidence_from_before_leaves_it_to_the_role() -> None:
    old = {key: value for key, value in retired(DEEP).items() if key not in ("volume", "base")}
    builder = shop(old)
    add("other", volume("shop", WHOLE, "/x"))(builder)
    assert planned(plan(builder)) == [DEEP, "/var/lib/containerd.old"]
    assert found(builder)[f"retired:{DEEP}"].severity == "low"


def test_where_nobody_could_look_who_uses_it_nothing_is_planned() -> None:
    made = plan(shop().fail("docker_containers"))
    assert made.steps == ()
    assert {refusal.reason.partition(": ")[2].partition(":")[0] for refusal in made.refusals} == {"could not be observed"}
    assert found(shop().fail("docker_containers"))[f"retired:{DEEP}"].severity == "low"


def test_what_lies_in_another_retired_tree_goes_with_that_one_and_never_alone() -> None:
    # The volume moved with Docker's root, and is in use there.
    inner, outer = retired(DEEP, volume="shop"), retired(ROOT, run="R2")
    builder = shop(outer, inner)
    builder.probes["docker_volumes"][0]["mountpoint"] = "/mnt/data/docker/volumes/shop/_data"
    moved = volume("shop", "/mnt/data/docker/volumes/shop/_data", "/srv")
    builder.container("within")["mounts"] = [moved]
    assert (planned(plan(builder)), plan(builder).refusals) == ([ROOT, DEEP, "/var/lib/containerd.old"], ())
    outer["fingerprint"] = "sha256:b"
    reasons = [refusal.reason for refusal in plan(builder).refusals]
    assert reasons[0].startswith(f"{ROOT}: differs from what was retired")
    assert reasons[1] == f"{DEEP}: lies in {ROOT}, which R2 retired as well, and goes with that one alone"
    outer.update(fingerprint="sha256:a")
    inner.update(retired_at="2026-01-30T00:00:00Z")
    reasons = [refusal.reason for refusal in plan(builder).refusals]
    assert reasons[0] == f"{ROOT}: holds {DEEP}, which was retired later and is kept still"
    assert f"{DEEP}: is kept until" in reasons[1]


def begun(**other: Any) -> dict[str, Any]:
    left = {"aside": DEEP, "run": "CAP-9", "entries": 2, "size": 7}
    return retired(DEEP, volume="shop", exists=False, fingerprint=None, purging=left, **other)


def test_what_was_half_emptied_in_its_place_is_ended_whatever_its_age() -> None:
    made = plan(shop(begun(retired_at="2026-01-31T00:00:00Z")))
    assert (planned(made), made.refusals) == ([DEEP, "/var/lib/containerd.old"], ())
    assert f"CAP-9 deleted a part of it already, the step deletes what is left in {DEEP} (2 entries, 7 bytes)" in made.steps[0].undo
    judged = found(shop(begun()))[f"retired:{DEEP}"]
    assert f"its purge was begun by CAP-9 and not finished: 7 B in 2 entries are left in {DEEP}" in judged.reason


def test_what_was_half_emptied_stays_so_where_somebody_came_to_see_it() -> None:
    builder = shop(begun())
    add("other", volume("shop", WHOLE, "/x"))(builder)
    assert SEEN in plan(builder).refusals[0].reason
    assert MINIO not in plan(builder).refusals[0].reason
