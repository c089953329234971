"""Whoever makes a machine knows the host key that it is born with, and whether anybody has to wait for it: nobody needs to look again for that."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from tests.unit.roles.loading import library, module_util

for name in ("birth", "shape", "libvirt", "kvm", "want", "judge", "fence", "seed"):
    module_util("vm_provision", f"vm_provision_{name}")
making = library("vm_provision", "vm_provision_make")

BORN_WITH = "ssh-ed25519 AAAA"
WANT: dict[str, Any] = {
    "name": "mint-data",
    "hypervisor": {"kind": "libvirt", "accelerator": "qemu"},
    "cores": 2,
    "memory": 1024**3,
    "boot": {"image": "debian.qcow2", "size": 8, "storage": "default", "volume": "mint-data-boot"},
    "disks": [],
    "network": {"network": "default"},
    "address": {"address": "dhcp", "gateway": "", "nameservers": []},
    "user": "ops",
    "ssh_keys": ["ssh-ed25519 AAAA ops"],
    "agent": False,
    "run": "CAP-1",
    "existing": False,
    "fence": [],
}
THERE: dict[str, Any] = {
    "run": "CAP-0",
    "made": True,
    "started": True,
    "host_key": BORN_WITH,
    "birth": "user=12",
    "autostart": True,
    "state": "running",
}
LISTS: dict[str, Any] = {"volumes": {}, "disks": [], "kept": []}


class _Libvirt:
    """One machine or none, and what virsh was told to do."""

    def __init__(self, domain: dict[str, Any] | None) -> None:
        self.seen = domain
        self.told: list[tuple[str, ...]] = []

    def domain(self, _name: str) -> dict[str, Any] | None:
        return self.seen

    def pools(self) -> dict[str, Any]:
        return {"default": {"kind": "dir", "volumes": {}}}

    def virsh(self, *words: str, **_: Any) -> str:
        self.told.append(words)
        return ""

    def set_mark(self, *_: Any, **__: Any) -> None:
        self.told.append(("set-mark",))


class _EndedError(Exception):
    """The module ended."""


def _made(monkeypatch: pytest.MonkeyPatch, domain: dict[str, Any] | None, *, check: bool = False, **want: Any) -> tuple[dict[str, Any], _Libvirt]:
    libvirt, said = _Libvirt(domain), {}

    class _Module:
        params, check_mode = {**WANT, **want}, check

        def __init__(self, **_: Any) -> None: ...

        def exit_json(self, **answer: Any) -> None:
            said.update(answer)

        def fail_json(self, msg: str, **answer: Any) -> None:
            said.update(answer)
            raise _EndedError(msg)

    monkeypatch.setattr(making, "AnsibleModule", _Module)
    monkeypatch.setattr(making.asked, "libvirt_of", lambda _want: libvirt)
    monkeypatch.setattr(making.asked, "alone", lambda _name: nullcontext())
    monkeypatch.setattr(making.fence, "unless_dry", lambda _module: nullcontext())
    monkeypatch.setattr(making.seed, "host_key", lambda _folder: "")
    monkeypatch.setattr(making.seed, "make_host_key", lambda _folder, _name: BORN_WITH)
    for what in ("key", "volume", "seed"):
        monkeypatch.setattr(making.Making, what, lambda *_: None)
    making.main()
    return said, libvirt


def test_a_machine_that_is_made_now_is_waited_for_by_the_key_that_was_made_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    said, libvirt = _made(monkeypatch, None)
    assert (said["changed"], said["is_there"], said["host_key"]) == (True, False, BORN_WITH)
    assert [words[0] for words in libvirt.told] == ["define", "autostart", "set-mark", "start"]
    # Nothing was left by anybody, so nothing is said of it.
    assert said["answer"] == {"told": {"done": ["defined with 2 cores, 1024 MiB", "is started at each boot", "started"]}}


def test_one_that_an_interrupted_run_started_is_waited_for_and_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    said, libvirt = _made(monkeypatch, THERE | LISTS | {"made": False})
    assert (said["changed"], said["is_there"], said["host_key"]) == (False, False, BORN_WITH)
    assert libvirt.told == []
    notes = ["went on with what run CAP-0 left half made: it was started already, and only waited for"]
    assert said["answer"] == {"told": {"done": [], "went_on_with": "CAP-0", "notes": notes}}


@pytest.mark.parametrize(("made", "key", "existing"), [(True, BORN_WITH, True), (None, "", True), (True, BORN_WITH, False)])
def test_nobody_waits_for_one_that_is_there_whoever_made_it(monkeypatch: pytest.MonkeyPatch, made: bool | None, key: str, existing: bool) -> None:
    """Of one that no run made no key is known, so waiting for it would end badly."""
    said, libvirt = _made(monkeypatch, THERE | LISTS | {"made": made, "host_key": key}, existing=existing)
    assert (said["changed"], said["is_there"]) == (False, True)
    assert libvirt.told == []


def test_a_dry_run_defines_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    said, libvirt = _made(monkeypatch, None, check=True)
    assert (said["changed"], said["is_there"], libvirt.told) == (True, False, [])


def test_one_that_was_never_started_is_gone_on_with_and_keeps_what_it_was_born_with(monkeypatch: pytest.MonkeyPatch) -> None:
    marks: list[str] = []
    monkeypatch.setattr(_Libvirt, "set_mark", lambda _self, _name, _space, mark, **_: marks.append(mark))
    left = THERE | LISTS | {"made": False, "started": False, "state": "shut off"}
    said, _ = _made(monkeypatch, left)
    assert said["answer"]["told"] == {"done": ["started"], "went_on_with": "CAP-0", "notes": ["went on with what run CAP-0 left half made: started"]}
    [mark] = marks
    assert ('started="yes"' in mark, "<birth>user=12</birth>" in mark) == (True, True)


PLACE = ("default", "mint-data-DATA0001")


class _Volumes(_Libvirt):
    """A machine that is being made, the volumes that lie in its storage, and what they were marked as."""

    def __init__(self, *there: str, marks: dict[tuple[str, str], str] | None = None) -> None:
        super().__init__(THERE | LISTS | {"made": False, "started": False, "state": "shut off", "volumes": marks or {}})
        self.there = set(there)
        self.removed: list[str] = []
        self.marked: list[str | None] = []
        self.fails: Exception | None = None
        self.deaf: Exception | None = None

    def has_volume(self, _storage: str, volume: str) -> bool:
        return volume in self.there

    def remove_volume(self, _storage: str, volume: str) -> None:
        self.removed.append(volume)
        self.there.remove(volume)

    def create_volume(self, _storage: str, volume: str, *_: Any) -> None:
        if self.fails is not None:
            raise self.fails
        assert volume not in self.there
        self.there.add(volume)

    def set_mark(self, _name: str, _namespace: str, mark: str, **_: Any) -> None:
        if self.deaf is not None and self.fails is not None and self.marked:
            raise self.deaf
        self.marked.append("making" if "making" in mark else "whole" if "whole" in mark else None)


def on_the_way(monkeypatch: pytest.MonkeyPatch, libvirt: _Volumes, *, check: bool = False) -> Any:
    monkeypatch.setattr(making.asked, "libvirt_of", lambda _want: libvirt)
    return making.Making(WANT, check)


def test_a_volume_is_marked_before_and_after_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    libvirt = _Volumes()
    one = on_the_way(monkeypatch, libvirt)
    one.volume(*PLACE, 4, one.blank)
    assert (libvirt.marked, libvirt.there, libvirt.removed, one.again) == (["making", "whole"], {PLACE[1]}, [], [])


def test_a_whole_volume_is_left_alone_and_one_whose_making_was_cut_off_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _Volumes(PLACE[1], marks={PLACE: "whole"})
    one = on_the_way(monkeypatch, whole)
    one.volume(*PLACE, 4, one.blank)
    assert (whole.marked, whole.removed, one.done) == ([], [], [])
    half = _Volumes(PLACE[1], marks={PLACE: "making"})
    one = on_the_way(monkeypatch, half)
    one.volume(*PLACE, 4, one.blank)
    assert (half.removed, half.marked, half.there) == ([PLACE[1]], ["making", "whole"], {PLACE[1]})
    told = making.told_of(one)
    assert told["removed"] == ["default/mint-data-DATA0001"]
    assert told["notes"][-1] == "removed what was half made, and made it again: default/mint-data-DATA0001"


def test_a_dry_run_removes_and_marks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    half = _Volumes(PLACE[1], marks={PLACE: "making"})
    one = on_the_way(monkeypatch, half, check=True)
    one.volume(*PLACE, 4, one.blank)
    assert (half.removed, half.marked, one.done) == ([], [], ["volume mint-data-DATA0001 in default: 4 bytes"])


def test_a_volume_that_somebody_made_while_another_was_copied_is_never_taken_for_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look at the beginning is minutes old by then."""
    libvirt = _Volumes()
    one = on_the_way(monkeypatch, libvirt)
    libvirt.there.add(PLACE[1])
    with pytest.raises(making.asked.LibvirtError, match="volume mint-data-DATA0001 appeared in default, and no run here made it"):
        one.volume(*PLACE, 4, one.blank)
    assert (libvirt.marked, libvirt.there) == ([], {PLACE[1]})
    # A second run finds no mark by which it were a half-made one of ours.
    second = on_the_way(monkeypatch, libvirt)
    with pytest.raises(making.asked.LibvirtError, match="appeared"):
        second.volume(*PLACE, 4, second.blank)
    assert libvirt.removed == []


@pytest.mark.parametrize(
    "said",
    [
        "error: storage volume 'mint-data-DATA0001' exists already",
        "error: Requested operation is not valid: volume target path '/pool/mint-data-DATA0001' already exists",
        "error: cannot create path '/pool/mint-data-DATA0001': File exists",
    ],
)
def test_whoever_was_quicker_in_the_last_moment_keeps_the_volume(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    libvirt = _Volumes()
    one = on_the_way(monkeypatch, libvirt)
    libvirt.fails = making.asked.LibvirtError(said)
    seen = iter([False, True])
    monkeypatch.setattr(libvirt, "has_volume", lambda *_: next(seen))
    with pytest.raises(making.asked.LibvirtError, match="exist"):
        one.volume(*PLACE, 4, one.blank)
    assert (libvirt.marked, one.marks, libvirt.removed) == (["making", None], {}, [])


def test_a_volume_that_could_not_be_made_is_no_half_made_one_and_one_that_was_begun_stays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    full = _Volumes()
    one = on_the_way(monkeypatch, full)
    full.fails = making.asked.LibvirtError("error: No space left on device")
    with pytest.raises(making.asked.LibvirtError, match="No space"):
        one.volume(*PLACE, 4, one.blank)
    assert (full.marked, one.marks) == (["making", None], {})
    begun = _Volumes()
    one = on_the_way(monkeypatch, begun)

    def half(_storage: str, volume: str, _size: int) -> None:
        begun.there.add(volume)
        raise making.asked.LibvirtError("error: Cannot resize")

    with pytest.raises(making.asked.LibvirtError, match="resize"):
        one.volume(*PLACE, 4, half)
    assert (begun.marked, one.marks) == (["making"], {PLACE: "making"})


def test_a_mark_that_could_not_be_taken_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    libvirt = _Volumes()
    one = on_the_way(monkeypatch, libvirt)
    libvirt.fails, libvirt.deaf = making.asked.LibvirtError("error: exists already"), making.asked.LibvirtError("error: no connection")
    with pytest.raises(making.asked.LibvirtError) as told:
        one.volume(*PLACE, 4, one.blank)
    left = "the machine's metadata still call mint-data-DATA0001 in default half made (error: no connection): a second run would make it again"
    assert str(told.value) == f"error: exists already; and {left}. If it is not this machine's, move it away first"


def test_a_seed_that_no_run_made_is_not_called_half_made_where_the_key_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making.seed, "host_key", lambda _folder: "")
    monkeypatch.setattr(making.seed, "make_host_key", lambda _folder, _name: "ssh-ed25519 BBBB")
    for marks, kept in (({}, {}), ({("default", "mint-data-seed"): "whole"}, {("default", "mint-data-seed"): "making"})):
        one = on_the_way(monkeypatch, _Volumes("mint-data-seed", marks=marks))
        one.key()
        assert (one.marks, one.domain["host_key"]) == (kept, "ssh-ed25519 BBBB")
