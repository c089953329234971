"""Resets of the site's time in a signed chain: a key that ended does not come back by one, and one that was honest stays good."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.receipts import ReceiptFiles
from controlplane.adapters.signing import SshSigner
from controlplane.domain.chain import RESET, LooseReset
from controlplane.domain.errors import RefusedError, RunFailedError
from controlplane.domain.receipt import Receipt
from controlplane.domain.signers import RECEIPTS
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.reset_time import reset_time
from tests.fakes.chains import faults, grow, make_keys, receipt, write_signers
from tests.fakes.coordination import FakeCoordination
from tests.fakes.evidence_builder import COLLECTED
from tests.fakes.ports import FakeClock, FakeEntropy

RESET_BY: dict[str, Any] = {"capability": RESET, "host": "*", "plan": ""}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(tmp_path_factory.mktemp("keys"))


def _forge(store: ReceiptFiles, folder: Path, key: Path, made: Receipt) -> str:
    """Put the receipt into the chain past the store, as who only has the key would; return its file's name."""
    last = store.load()[-1][1]
    link = made.model_copy(update={"seq": last.seq + 1, "previous": last.digest()})
    path = folder / link.file_name()
    path.write_text(link.model_dump_json(indent=2) + "\n")
    SshSigner(key, None).sign(path, path.read_bytes(), RECEIPTS)
    return path.name


def test_a_key_that_ended_does_not_come_back_by_a_reset_of_the_time(keys: Path, tmp_path: Path) -> None:
    """Eve's key ended at half past twelve, and ann went on past three."""
    folder, team = tmp_path / "receipts", write_signers(tmp_path / "allowed_signers", keys, ann="", eve='valid-before="20260102123000Z"')
    eves, anns = (ReceiptFiles(folder, SshSigner(keys / name, team)) for name in ("eve", "ann"))
    grow(eves, 2)
    anns.append(receipt(2, minute=190))

    with pytest.raises(RefusedError) as refused:
        eves.append(receipt(3, minute=10, **RESET_BY))
    assert str(refused.value) == (
        "000004-CAP-20260102-120000__storage.fstab__R0003.intent.json was not written: it sets the time back from 2026-01-02T15:10:00Z, and it is "
        "signed by a key that allowed_signers does not allow at that time: verify time 2026-01-02T15:10:00 > valid-before 2026-01-02T12:30:00 "
        f"({keys / 'eve'}). Nothing was changed. A key that ended before must not come back so: let one do it whose line in {team} ends later or "
        "never. Where nobody's does, add such a line."
    )
    assert len(eves.load()) == 3

    name = _forge(eves, folder, keys / "eve", receipt(3, minute=10, **RESET_BY))
    eves.append(receipt(3, "result", minute=10, **RESET_BY))
    # A run that was going on is brought to its end; its end stands for nothing.
    anns.append(receipt(2, "result", minute=191, operator="ann@desk"))
    with pytest.raises(RunFailedError, match=r"do not hold: 000004-.*R0004 was not begun. Look into it with 'controlplane receipts verify'"):
        anns.append(receipt(4, minute=192))
    [found] = faults(folder, SshSigner(None, team))
    assert (type(found), found.file) == (LooseReset, name)
    assert found.reason.startswith("sets the site's time back from 2026-01-02T15:10:00Z, by a key that is not allowed at that time, and nobody")
    with pytest.raises(RunFailedError, match=r"the receipts do not hold: 000004-.* sets the site's time back from 2026-01-02T15:10:00Z, by a key"):
        sound_chain(anns)


def test_a_reset_stays_good_when_its_key_ends_as_somebody_else_began_a_run_after_it(keys: Path, tmp_path: Path) -> None:
    """Ann's clock ran 400 days ahead, and ben reset the time, whose key ends in June."""
    folder = tmp_path / "receipts"
    anns, bens = (ReceiptFiles(folder, SshSigner(keys / name, keys / "signers")) for name in ("ann", "ben"))
    anns.append(receipt(1, minute=400 * 1440))
    anns.append(receipt(1, "result", minute=400 * 1440))
    bens.append(receipt(2, **RESET_BY))
    later = write_signers(tmp_path / "allowed_signers", keys, ann="", ben='valid-before="20260601Z"')
    assert faults(folder, SshSigner(None, keys / "signers")) == ()
    assert [type(one) for one in faults(folder, SshSigner(None, later))] == [LooseReset]

    anns.append(receipt(3, minute=5))

    assert faults(folder, SshSigner(None, later)) == ()


def test_a_reset_that_nobody_stands_for_is_stood_for_by_another_one(keys: Path, tmp_path: Path) -> None:
    folder = tmp_path / "receipts"
    anns, bens = (ReceiptFiles(folder, SshSigner(keys / name, keys / "signers")) for name in ("ann", "ben"))
    for phase in ("intent", "result"):
        anns.append(receipt(1, phase, minute=400 * 1440))
    for phase in ("intent", "result"):
        bens.append(receipt(2, phase, minute=0, **RESET_BY))
    team = write_signers(tmp_path / "allowed_signers", keys, ann="", ben='valid-before="20260601Z"')
    again: dict[str, Any] = {
        "operator": "ann@desk",
        "reason": "desk2 ran ahead",
        "clock": FakeClock(COLLECTED + timedelta(minutes=9)),
        "entropy": FakeEntropy(),
    }

    with pytest.raises(RefusedError, match=r"it sets the time back from 2027-02-06T12:00:00Z, and it is signed by a key that"):
        reset_time("lab", receipts=ReceiptFiles(folder, SshSigner(keys / "ben", team)), store=FakeCoordination(), **again)
    reset_time("lab", receipts=ReceiptFiles(folder, SshSigner(keys / "ann", team)), store=FakeCoordination(), **again)

    assert faults(folder, SshSigner(None, team)) == ()
    with pytest.raises(RefusedError, match="the site has seen no later time"):
        reset_time("lab", receipts=ReceiptFiles(folder, SshSigner(keys / "ann", team)), store=FakeCoordination(), **again)
