"""receipts verify, head, reset-time as an operator and an auditor without a site meet them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane import wiring
from controlplane.adapters.judged_before import key_of
from controlplane.adapters.receipts import ReceiptFiles
from controlplane.adapters.signatures import signature_of, signatures_by
from controlplane.adapters.signing import SshSigner
from controlplane.cli.app import main
from controlplane.domain.coordination import moment_of
from controlplane.domain.signers import RECEIPTS
from tests.fakes.chains import close_wave, grow, make_keys
from tests.fakes.evidence_builder import COLLECTED
from tests.fakes.ports import FakeClock
from tests.fakes.site import FakeSite

CUT = "A cut-off end would show up to there only:"
Run = Callable[..., tuple[int | str | None, str, str]]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def site(keys: Path, tmp_path: Path) -> Path:
    """A site with six receipts and a closed wave."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "site.yml").write_text(f"name: lab\nsigning_key: {keys}/ann\nallowed_signers: {keys}/signers\n")
    store = ReceiptFiles(folder / "state" / "receipts", SshSigner(keys / "ann", keys / "signers"))
    grow(store, 6)
    close_wave(folder, store, minute=10)
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    clock = FakeClock(COLLECTED.replace(hour=13))
    monkeypatch.setattr(wiring, "clock", lambda: clock)
    monkeypatch.setattr(wiring, "operator", lambda: "ann@desk")

    def call(*argv: str) -> tuple[int | str | None, str, str]:
        monkeypatch.setattr(sys, "argv", ["controlplane", *argv])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capsys.readouterr()

    return call


def test_a_sound_chain_is_0_and_says_how_far_a_cut_off_end_would_show(run: Run, site: Path) -> None:
    assert run("receipts", "verify", "--site", str(site)) == (
        0,
        f"8 receipts, 0 faults\n{CUT} the newest head that is known holds 6 of 8. Keep one elsewhere: controlplane receipts head --out FILE\n",
        "",
    )


def test_an_auditor_needs_the_receipts_and_the_public_keys_alone(run: Run, site: Path, keys: Path, tmp_path: Path) -> None:
    shutil.copytree(site / "state" / "receipts", tmp_path / "copy")
    shutil.copy(keys / "signers", tmp_path / "signers")
    shutil.rmtree(site)

    code, out, err = run("receipts", "verify", "--receipts", "copy", "--allowed-signers", "signers")

    assert (code, out.splitlines()[0], err) == (0, "8 receipts, 0 faults", "")
    assert out.splitlines()[1].startswith(f"{CUT} no head of this chain is known.")


def test_without_signers_it_says_that_signatures_were_not_checked(run: Run, site: Path) -> None:
    code, out, err = run("receipts", "verify", "--receipts", str(site / "state" / "receipts"))

    assert (code, out.splitlines()[0], err) == (0, "8 receipts, 0 faults", "")
    assert out.splitlines()[1] == "Signatures were not checked: there are no allowed signers to check them by."


def test_a_head_is_kept_and_a_later_chain_is_held_to_it(run: Run, site: Path) -> None:
    code, out, _ = run("receipts", "head", "--site", str(site), "--out", "head.json")
    assert code == 0
    assert out.splitlines()[0].startswith("lab: 8 receipts at 2026-01-02T13:00:01Z, the last one sha256:")
    assert out.splitlines()[1] == "Keep head.json and head.json.sig elsewhere. Later: controlplane receipts verify --head head.json"

    assert run("receipts", "verify", "--site", str(site), "--head", "head.json") == (0, "8 receipts, 0 faults\n", "")
    for path in (site / "state" / "receipts").glob("000008*"):
        path.unlink()

    code, out, err = run("receipts", "verify", "--site", str(site), "--head", "head.json")

    assert (code, out.splitlines()[0]) == (1, "7 receipts, 2 faults")
    assert err.splitlines()[0] == "head.json: was made when the chain had 8 receipts, now it has 7: its end was cut off"
    assert err.splitlines()[1].startswith("state/waves/W8B/20260102-120000/closeout.json: has no receipt in the chain")


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_time_of_no_clock_is_told_by_its_file_wherever_it_is(run: Run, site: Path, at: str) -> None:
    closeout, broken = next(site.glob("state/waves/*/*/closeout.json")), next((site / "state" / "receipts").glob("000003*.json"))
    said = json.loads(closeout.read_text())
    closeout.write_text(json.dumps({**said, "attestation": {**said["attestation"], "at": at}}, indent=2) + "\n")
    code, _, err = run("receipts", "verify", "--site", str(site))
    assert (code, "/closeout.json: was " in err) == (1, True), err

    broken.write_text(broken.read_text().replace(json.loads(broken.read_text())["at"], at))
    code, _, err = run("receipts", "verify", "--site", str(site))
    assert (code, f"{broken.name}: is no receipt, or can't be read" in err) == (1, True), err


def test_the_json_names_faults_anchors_and_how_far_they_hold(run: Run, site: Path) -> None:
    broken = next((site / "state" / "receipts").glob("000003*.json"))
    broken.write_text("{")

    code, out, _ = run("receipts", "verify", "--site", str(site), "-o", "json")

    data = json.loads(out)
    assert code == 1
    assert list(data) == ["receipts", "faults", "signatures", "anchors", "anchored", "time_resets"]
    assert (data["receipts"], data["signatures"], data["anchored"], data["time_resets"]) == (7, True, 6, [])
    assert data["faults"][0] == {"file": broken.name, "reason": "is no receipt, or can't be read"}


def test_a_head_of_a_broken_chain_is_not_made(run: Run, site: Path) -> None:
    next((site / "state" / "receipts").glob("000003*.json")).unlink()

    code, _, err = run("receipts", "head", "--site", str(site), "--out", "head.json")

    assert code == 1
    assert "the receipts do not hold: 000004-" in err
    assert not Path("head.json").exists()


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("--allowed-signers", "signers"), "--allowed-signers goes with --receipts"),
        (("--receipts", "copy", "--site", "site"), "name a site or --receipts, not both"),
        (("--receipts", "missing"), "missing: --receipts: is no folder"),
        (("--receipts", "site"), "site: --receipts: holds no receipt: name the folder that holds them, or find out who emptied it"),
        (("--receipts", "site", "--allowed-signers", "nobodys"), "nobodys: can't be read (No such file or directory)"),
        (("--receipts", "site", "--head", "missing.json"), "missing.json: --head: can't be read (No such file or directory)"),
        (("--receipts", "site", "--head", "site/site.yml"), "site/site.yml: --head: is no head: 'controlplane receipts head --out FILE' writes one"),
    ],
)
@pytest.mark.usefixtures("site")
def test_what_can_not_be_meant_is_a_usage_error(run: Run, argv: tuple[str, ...], told: str) -> None:
    code, out, err = run("receipts", "verify", *argv)

    assert (code, out) == (2, "")
    assert told in err


def test_a_site_without_receipts_says_that_a_head_alone_would_show_that_there_were_any(run: Run, site: Path, keys: Path) -> None:
    head = ("--head", str(site.parent / "head.json"))
    assert run("receipts", "head", "--site", str(site), "--out", head[1])[0] == 0
    shutil.rmtree(site / "state")
    told = "Whether there were any before would show by a head only: none of this chain is known.\n"
    assert run("receipts", "verify", "--site", str(site)) == (0, f"0 receipts, 0 faults\n{told}", "")

    (site / "empty").mkdir()
    folder = ("--receipts", str(site / "empty"), "--allowed-signers", str(keys / "signers"), *head)
    for argv in (("--site", str(site), *head), folder):
        code, out, err = run("receipts", "verify", *argv)
        assert (code, out, "was made when the chain had 8 receipts, now it has 0: its end was cut off" in err) == (1, "0 receipts, 1 faults\n", True)

    (site / "site.yml").write_text("name: lab\nallowed_signers: nobodys\n")
    code, out, err = run("receipts", "verify", "--site", str(site))
    assert (code, out, "nobodys: can't be read (No such file or directory)" in err) == (2, "", True)


def test_the_sites_time_is_reset_on_record_and_the_chain_still_holds(run: Run, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = run("receipts", "reset-time", "--site", str(site), "--reason", "none")
    assert code == 4
    assert "the site has seen no later time. Nothing was changed." in err

    monkeypatch.setattr(wiring, "clock", lambda: FakeClock(COLLECTED.replace(hour=3)))
    code, out, _ = run("receipts", "reset-time", "--site", str(site), "--reason", "desk2 ran ahead")
    assert code == 0
    assert out.startswith("The site's time is this controller's. On record: CAP-20260102-030001__site.time__R")

    code, out, err = run("receipts", "verify", "--site", str(site))
    assert (code, out.splitlines()[0], err) == (0, "10 receipts, 0 faults", "")
    assert out.splitlines()[1] == "At receipt 9 the site's time was reset: times before it are of a clock that ran ahead."


def test_verify_takes_no_earlier_verbs_word_for_a_signature(
    run: Run, site: Path, keys: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    signatures_by.cache_clear()
    assert wiring.receipts(str(site)).examine()[1] == ()
    last = sorted((site / "state" / "receipts").glob("[0-9]*.json"))[-1]
    forged = SshSigner(keys / "eve", None)
    forged.sign(last, last.read_bytes(), RECEIPTS)
    [memory] = (tmp_path / "cache" / "controlplane" / "signatures").glob("*.json")
    at = moment_of(json.loads(last.read_bytes())["at"]).isoformat()
    key = key_of(last.read_bytes(), signature_of(last).read_bytes(), RECEIPTS, at)
    memory.write_text(json.dumps({**json.loads(memory.read_text()), key: "ann@example.org"}))
    signatures_by.cache_clear()
    assert wiring.receipts(str(site)).examine()[1] == (), "the lie is not one that a verb would believe, so this test shows nothing"

    code, _, err = run("receipts", "verify", "--site", str(site))

    assert (code, err.splitlines()[0].startswith(f"{last.name}: is signed by a key that signers does not name")) == (1, True), err
    folder = ("--receipts", str(site / "state" / "receipts"), "--allowed-signers", str(keys / "signers"))
    assert run("receipts", "verify", *folder)[0] == 1


def test_an_approval_is_said_to_be_of_whose_key_signed_it(run: Run, site: Path) -> None:
    wiring.plan_files().write("plan.json", FakeSite().plan())
    code, out, err = run("approve", "plan.json", "--site", str(site))
    assert (code, " by ann@example.org until " in out, err) == (0, True, "")
    assert json.loads(run("approve", "plan.json", "--site", str(site), "-o", "json")[1])["approver"] == "ann@example.org"
    # Where nobody says whose key it is, it is the operator's.
    (site / "site.yml").write_text("name: lab\n")
    assert " by ann@desk until " in run("approve", "plan.json", "--site", str(site))[1]
