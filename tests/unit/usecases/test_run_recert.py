"""release recert: all commands run, one that did not end well makes it fail, and what is on record says for which commit."""

from __future__ import annotations

import pytest

from controlplane.domain.errors import InputInvalidError
from controlplane.domain.receipt import open_intents
from controlplane.domain.run_list import run_rows
from tests.fakes.releases import SECRET, STACK, ReleaseSite, manifest


def test_what_is_green_is_on_record_for_its_manifest_and_commit() -> None:
    site = ReleaseSite()
    report = site.recert("r2")
    assert (report.passed, report.exit_code(), report.manifest, report.commit) == (True, 0, manifest(2).digest, manifest(2).commit)
    intent, result = site.receipts.chain
    assert (intent.capability, intent.host, intent.step, intent.plan) == ("release.recert", "*", STACK, "")
    assert (result.key, result.outcome, result.reason) == (report.run, "done", None)
    assert result.told == {
        "commit": manifest(2).commit,
        "manifest": manifest(2).digest,
        "commands": [command.model_dump(mode="json") for command in report.commands],
    }
    assert SECRET in site.commands.hidden
    assert site.commands.told == {"manifest": "r2", "commit": manifest(2).commit}


@pytest.mark.parametrize(("code", "ends", "told"), [(1, 7, "exit code 7"), (5, None, "did not end by itself")])
def test_all_commands_run_also_after_one_that_failed(code: int, ends: int | None, told: str) -> None:
    site = ReleaseSite()
    site.commands.ends = {"typecheck": ends}
    report = site.recert()
    assert (report.passed, report.exit_code(), site.commands.ran) == (False, code, ["typecheck", "state"])
    assert (site.receipts.chain[-1].outcome, site.receipts.chain[-1].reason) == ("failed", f"typecheck: {told}: as it said")


def test_a_failure_wins_over_one_that_did_not_end() -> None:
    site = ReleaseSite()
    site.commands.ends = {"typecheck": None, "state": 2}
    assert site.recert().exit_code() == 1


def test_what_can_not_be_asked_is_invalid_before_anything_is_run() -> None:
    site = ReleaseSite()
    with pytest.raises(InputInvalidError, match=r"manifests/r9.yml: does not exist"):
        site.recert("r9")
    held = site.files.specs[STACK]
    site.files.specs[STACK] = held.model_copy(update={"recert": ()})
    with pytest.raises(InputInvalidError, match=r"inventory/lab/releases/shop.yml: recert: names no command"):
        site.recert()
    itself = held.recert[0].model_copy(update={"run": ("controlplane", "release", "recert", "shop", "--manifest", "r1")})
    site.files.specs[STACK] = held.model_copy(update={"recert": (*held.recert, itself)})
    with pytest.raises(InputInvalidError, match=r"recert.2.run: is this very command, which would never end"):
        site.recert()
    assert (site.receipts.chain, site.commands.ran) == ([], [])


def test_an_environment_file_that_is_not_there_hides_nothing_and_is_in_nobodys_way() -> None:
    site = ReleaseSite()
    site.files.env.clear()
    assert (site.recert().passed, site.commands.hidden) == (True, ())


def test_one_that_is_cut_off_anywhere_is_listed_with_what_to_do() -> None:
    whole = ReleaseSite()
    whole.arm(None)
    whole.recert()
    for at in range(1, whole.world.count + 1):
        site = ReleaseSite()
        site.arm(at)
        with pytest.raises(KeyboardInterrupt):
            site.recert()
        site.arm(None)
        assert open_intents(site.receipts.chain) == ()
        for row in run_rows(site.receipts.chain):
            assert (row.state, row.next) in {
                ("done", "nothing"),
                ("interrupted", "certify it again: controlplane release recert shop --manifest NAME"),
            }
        assert site.recert().passed
