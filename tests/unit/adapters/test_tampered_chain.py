"""A chain of thirty signed receipts: whatever byte is flipped, whatever file is dropped, moved, put in or cut off, it is found and named."""

from __future__ import annotations

import random
import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.anchors import AnchorFiles, HeadFiles
from controlplane.adapters.receipts import ReceiptFiles
from controlplane.adapters.signatures import signature_of
from controlplane.adapters.signing import SshSigner
from controlplane.domain.chain import Head
from controlplane.domain.digest import digest_of
from controlplane.domain.receipt import ChainFault, Receipt
from tests.fakes.chains import close_release, close_wave, faults, grow, make_keys, receipt, verified

LENGTH = 30
CLOSED = 20


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def signer(keys: Path) -> SshSigner:
    """One signer for all: what it judged once, of files that are the same, it does not judge again."""
    return SshSigner(keys / "ann", keys / "signers")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, signer: SshSigner) -> Path:
    """A site whose wave closed after receipt 20, of 30."""
    site = tmp_path_factory.mktemp("site")
    store = ReceiptFiles(site / "state" / "receipts", signer)
    grow(store, CLOSED)
    close_wave(site, store, minute=CLOSED + 2)
    grow(store, LENGTH - CLOSED - 2, first=CLOSED)
    assert faults(site / "state" / "receipts", signer, site=site) == ()
    return site


@pytest.fixture
def site(whole: Path, tmp_path: Path) -> Path:
    """A copy to do harm to."""
    shutil.copytree(whole, tmp_path / "site")
    return tmp_path / "site"


@pytest.fixture
def folder(site: Path) -> Path:
    return site / "state" / "receipts"


def _chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - a sample that comes again


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.json"))


def _head(folder: Path, signer: SshSigner, file: Path, length: int = LENGTH) -> str:
    _, last = ReceiptFiles(folder, signer).load()[length - 1]
    HeadFiles(signer).write(str(file), Head(site="lab", length=length, head=last.digest(), at=last.at, by="ann@desk"))
    return str(file)


def _flipped(path: Path, place: int, bit: int, *, folder: Path, signer: SshSigner, site: Path | None) -> tuple[ChainFault, ...]:
    """Return the faults while one bit of the file is another."""
    content = path.read_bytes()
    path.write_bytes(content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :])
    found = faults(folder, signer, site=site)
    path.write_bytes(content)
    return found


def _flip_some(site: Path, signer: SshSigner, *, seed: int, each: int) -> None:
    """Flip `each` bits in each file of the trail; every one has to be found, at the file that holds it."""
    chance, folder = _chance(seed), site / "state" / "receipts"
    for path in (*_files(folder), *sorted(folder.glob("*.sig"))):
        for _ in range(each):
            place, bit = chance.randrange(path.stat().st_size), chance.randrange(8)
            found = _flipped(path, place, bit, folder=folder, signer=signer, site=site)
            assert path.name.removesuffix(".sig") in {fault.file for fault in found}, f"bit {bit} of byte {place} of {path.name}"


def test_a_flipped_bit_in_any_file_is_found_at_that_file(site: Path, signer: SshSigner) -> None:
    _flip_some(site, signer, seed=1, each=2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 8))
def test_many_more_flipped_bits_are_found(site: Path, signer: SshSigner, seed: int) -> None:
    _flip_some(site, signer, seed=seed, each=20)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["receipt", "signature"])
def test_every_byte_of_one_receipt_and_of_its_signature_counts(folder: Path, signer: SshSigner, kind: str) -> None:
    last = _files(folder)[-1]
    path = last if kind == "receipt" else signature_of(last)
    for place in range(path.stat().st_size):
        for bit in range(8) if kind == "signature" else (place % 8,):
            assert _flipped(path, place, bit, folder=folder, signer=signer, site=None), f"bit {bit} of byte {place}"


def test_the_version_of_a_signature_is_read_strictly(folder: Path, signer: SshSigner) -> None:
    """ssh-keygen takes version 0 for 1, so that a bit of the armour could be another unseen."""
    path = signature_of(_files(folder)[20])
    assert path.read_bytes()[43:44] == b"Q"

    found = _flipped(path, 43, 4, folder=folder, signer=signer, site=None)

    assert [fault.reason for fault in found] == ["has a signature that was altered: ssh-keygen does not write it so"]


def test_a_flipped_bit_is_found_by_the_digests_alone_in_all_but_the_last_receipt(folder: Path) -> None:
    unsigned, chance = SshSigner(None, None), _chance(3)
    for path in _files(folder)[:-1]:
        for _ in range(4):
            place, bit = chance.randrange(path.stat().st_size), chance.randrange(8)
            assert _flipped(path, place, bit, folder=folder, signer=unsigned, site=None), f"bit {bit} of byte {place} of {path.name}"


def test_a_flipped_bit_in_a_closeout_is_found(site: Path, signer: SshSigner) -> None:
    path, chance = next(site.glob("state/waves/*/*/closeout.json")), _chance(4)
    for _ in range(60):
        place, bit = chance.randrange(path.stat().st_size), chance.randrange(8)
        found = _flipped(path, place, bit, folder=site / "state" / "receipts", signer=signer, site=site)
        assert [fault.file for fault in found] == ["state/waves/W8B/20260102-120000/closeout.json"], f"bit {bit} of byte {place}"


def test_a_closeout_that_is_gone_or_another_one_is_found_and_so_is_its_page(site: Path, folder: Path, signer: SshSigner) -> None:
    wave = next(site.glob("state/waves/*/*/closeout.json"))
    release = close_release(site, ReceiptFiles(folder, signer), minute=2 * LENGTH)
    page, wrote = wave.with_suffix(".md"), wave.read_bytes()
    assert faults(folder, signer, site=site) == ()

    def told() -> list[tuple[str, str]]:
        return [(fault.file, fault.reason.split(" closed with it")[0]) for fault in faults(folder, signer, site=site)]

    names = {one: str(one.relative_to(site)) for one in (wave, release, page)}
    for path, capability in ((wave, "wave.close"), (release, "release.close"), (page, "wave.close")):
        content = path.read_bytes()
        path.unlink()
        assert told() == [(names[path], f"can't be read (No such file or directory), and CAP-20260102-120000__{capability}__R00ff")]
        path.write_bytes(content)
    page.write_text("# closed, and all is well\n")
    assert told() == [(names[page], "was altered: CAP-20260102-120000__wave.close__R00ff names another digest")]
    page.write_text("# closed\n")
    # A closeout that the chain holds, in the place of another one.
    wave.write_bytes(release.read_bytes())
    assert told() == [(names[wave], "was altered: CAP-20260102-120000__wave.close__R00ff names another digest")]
    wave.write_bytes(wrote)
    assert faults(folder, signer, site=site) == ()


def test_the_closeout_of_a_release_holds_the_chain_as_that_of_a_wave_does(site: Path, folder: Path, signer: SshSigner) -> None:
    path = close_release(site, ReceiptFiles(folder, signer), minute=2 * LENGTH)
    name = str(path.relative_to(site))
    found = verified(folder, signer, site=site)
    assert (found.faults, found.anchored, [one.source for one in found.anchors][-1]) == ((), LENGTH, name)
    assert faults(folder, signer, heads=(str(path),)) == ()
    chance = _chance(5)
    for _ in range(60):
        place, bit = chance.randrange(path.stat().st_size), chance.randrange(8)
        assert [fault.file for fault in _flipped(path, place, bit, folder=folder, signer=signer, site=site)] == [name], f"bit {bit} of byte {place}"
    for file in _files(folder)[-2:]:
        signature_of(file).unlink()
        file.unlink()
    [loose] = faults(folder, signer, site=site)
    assert (loose.file, "'release close' ended before it wrote it; then close the release again" in loose.reason) == (name, True)


@pytest.mark.parametrize("number", range(1, LENGTH))
def test_each_dropped_receipt_is_found_where_it_is_missing(folder: Path, signer: SshSigner, number: int) -> None:
    dropped = _files(folder)[number - 1]
    signature_of(dropped).unlink()
    dropped.unlink()

    found = faults(folder, signer)

    assert found[0] == ChainFault(
        file=_files(folder)[number - 1].name, reason=f"has number {number + 1} where {number} was due: a receipt is missing"
    )


def test_each_dropped_signature_is_found(folder: Path, signer: SshSigner) -> None:
    for path in _files(folder):
        kept = signature_of(path).read_bytes()
        signature_of(path).unlink()
        assert faults(folder, signer) == (ChainFault(file=path.name, reason="has no signature"),)
        signature_of(path).write_bytes(kept)


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_each_pair_that_changed_places_is_found_at_both(folder: Path, signer: SshSigner, every: int) -> None:
    names = _files(folder)
    held = {path: (path.read_bytes(), signature_of(path).read_bytes()) for path in names}
    for one, other in list(combinations(names, 2))[::every]:
        for path, taken in ((one, other), (other, one)):
            path.write_bytes(held[taken][0])
            signature_of(path).write_bytes(held[taken][1])

        told = {fault.file for fault in faults(folder, signer) if "it was renamed or put in" in fault.reason}
        assert told == {one.name, other.name}

        for path in (one, other):
            path.write_bytes(held[path][0])
            signature_of(path).write_bytes(held[path][1])


def test_a_pair_that_changed_places_under_names_that_fit_is_found(folder: Path, signer: SshSigner) -> None:
    fourth, fifth = _files(folder)[3:5]
    for path, number in ((fourth, 5), (fifth, 4)):
        named = path.with_name(f"{number:06d}{path.name[6:]}")
        signature_of(path).rename(signature_of(named))
        path.rename(named)

    assert [fault.reason.split(":")[0] for fault in faults(folder, signer)][:2] == [
        "has number 5 where 4 was due",
        f"is {fifth.name} by what it says",
    ]


def test_a_receipt_of_another_sites_chain_is_found(folder: Path, signer: SshSigner, tmp_path: Path) -> None:
    grow(ReceiptFiles(tmp_path / "other", signer), 6, site="other")
    put_in = _files(tmp_path / "other")[4]
    _replace(_files(folder)[4], put_in)

    told = [fault.reason for fault in faults(folder, signer) if fault.file == put_in.name]

    assert told == ["does not name the receipt before it: one of the two was altered", "is of site other, and the chain is of lab: it was put in"]


def test_an_older_copy_of_a_receipt_is_found(folder: Path, signer: SshSigner, tmp_path: Path) -> None:
    """The chain was begun anew once: a receipt of the first attempt has the same number, key, site and signer."""
    again = ReceiptFiles(tmp_path / "older", signer)
    grow(again, 6, first=1)
    older = again.append(receipt(4, minute=9, operator="ben@desk"))
    _replace(_files(folder)[6], tmp_path / "older" / older.file_name())

    found = faults(folder, signer)

    assert [(fault.file[:6], fault.reason) for fault in found] == [
        ("000008", "does not name the receipt before it: one of the two was altered"),
    ]


def _replace(path: Path, by: Path) -> None:
    for one in (path, signature_of(path)):
        one.unlink()
    for one in (by, signature_of(by)):
        shutil.copy(one, path.parent / one.name)


def test_two_controllers_that_wrote_one_number_are_both_named(folder: Path, keys: Path, signer: SshSigner, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "twin")
    ReceiptFiles(folder, signer).append(receipt(40, minute=60))
    grow(ReceiptFiles(tmp_path / "twin", SshSigner(keys / "ben", keys / "signers")), 2, first=41)
    for path in (tmp_path / "twin").glob("00003[12]*"):
        shutil.copy(path, folder)

    found = faults(folder, signer)

    key = "CAP-20260102-120000__storage.fstab__R00"
    ours, theirs = f"000031-{key}28.intent.json", f"000031-{key}29.intent.json"
    told = "the chain forks here, two controllers wrote it or one of the two was put in"
    assert found == (
        ChainFault(file=ours, reason=f"has the number of {theirs}: {told}"),
        ChainFault(file=theirs, reason=f"has the number of {ours}: {told}"),
    )


def test_two_chains_of_two_controllers_are_told_apart_by_a_head(folder: Path, signer: SshSigner, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "twin")
    grow(ReceiptFiles(folder, signer), 2, first=40)
    grow(ReceiptFiles(tmp_path / "twin", signer), 2, first=41)
    head = _head(tmp_path / "twin", signer, tmp_path / "head.json", 32)

    assert faults(tmp_path / "twin", signer, heads=(head,)) == ()
    last = _files(folder)[-1].name
    assert faults(folder, signer, heads=(head,)) == (
        ChainFault(file=head, reason=f"says that the chain's receipt 32 was another one than {last}: the chain forked or was written anew"),
    )


def _cut(folder: Path, left: int) -> None:
    for path in _files(folder)[left:]:
        signature_of(path).unlink()
        path.unlink()


@pytest.mark.parametrize("left", range(LENGTH))
def test_an_end_that_was_cut_off_anywhere_is_found_by_a_head(folder: Path, signer: SshSigner, tmp_path: Path, left: int) -> None:
    head = _head(folder, signer, tmp_path / "head.json")
    _cut(folder, left)

    assert faults(folder, signer, heads=(head,)) == (
        ChainFault(file=head, reason=f"was made when the chain had {LENGTH} receipts, now it has {left}: its end was cut off"),
    )


@pytest.mark.parametrize("left", range(CLOSED + 2))
def test_an_end_that_was_cut_off_before_the_last_closeout_is_found_without_a_head(site: Path, folder: Path, signer: SshSigner, left: int) -> None:
    _cut(folder, left)

    told = [fault.reason.split(":")[0] for fault in faults(folder, signer, site=site)]

    lost = "has no receipt in the chain"
    assert told == ([f"was made when the chain had {CLOSED} receipts, now it has {left}"] if left < CLOSED else [lost])


def test_an_end_that_was_cut_off_behind_the_newest_head_is_not_found_and_the_answer_says_how_far_it_goes(
    site: Path, folder: Path, signer: SshSigner
) -> None:
    _cut(folder, 25)

    found = verified(folder, signer, site=site)

    assert (found.receipts, found.faults, found.anchored) == (25, (), CLOSED)


def test_a_head_that_was_altered_or_is_a_strangers_holds_nothing(folder: Path, keys: Path, signer: SshSigner, tmp_path: Path) -> None:
    head = _head(folder, signer, tmp_path / "head.json")
    Path(head).write_text(Path(head).read_text().replace("ann@desk", "eve@desk"))
    assert [fault.reason for fault in faults(folder, signer, heads=(head,))] == ["does not fit its signature"]

    strange = _head(folder, SshSigner(keys / "eve", None), tmp_path / "strange.json")
    assert [fault.reason for fault in faults(folder, signer, heads=(strange,))] == ["is signed by a key that signers does not name"]


def test_a_closeout_that_is_kept_elsewhere_is_a_head_too(site: Path, folder: Path, signer: SshSigner, tmp_path: Path) -> None:
    kept = shutil.copy(next(site.glob("state/waves/*/*/closeout.json")), tmp_path / "kept.json")
    assert verified(folder, signer, heads=(str(kept),)).anchored == CLOSED
    _cut(folder, 5)

    assert [fault.file for fault in faults(folder, signer, heads=(str(kept),))] == [str(kept)]


def test_what_was_kept_of_before_a_release_is_held_by_its_receipt(tmp_path: Path) -> None:
    file = "state/releases/shop/staging-20260102-120000-R0001/before.json"
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text('{"at": "then"}')
    key = "CAP-20260102-120000__release.begin__R0001"
    plain: dict[str, Any] = {"seq": 2, "previous": None, "key": key, "run": key, "phase": "result", "at": "2026-01-02T12:00:00Z", "site": "lab"}
    plain |= {"host": "*", "capability": "release.begin", "step": "shop/staging", "plan": "", "policy": "p", "operator": "ann@desk"}
    said = Receipt.model_validate({**plain, "outcome": "done", "evidence": digest_of({"at": "then"}), "told": {"run": "R", "file": file}})
    anchors = AnchorFiles(SshSigner(None, None), site=tmp_path)

    def lost() -> list[str]:
        return [f"{one.file}: {one.reason}" for one in anchors.lost((("000002", said),))]

    assert (anchors.read(), lost()) == (((), ()), [])
    path.write_text('{"at": "now"}')
    assert lost() == [f"{file}: was altered: {key} names another digest"]
    path.write_text("{")
    assert lost() == [f"{file}: is no JSON, and {key} began with it: restore it from a copy"]
    path.unlink()
    assert lost() == [f"{file}: can't be read (No such file or directory), and {key} began with it: restore it from a copy"]
