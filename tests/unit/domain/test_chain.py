"""The chain's own rules: each link's time, a site's name, and resets of time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from controlplane.domain.chain import RESET, behind, chain_faults, last_reset, latest_time, link
from controlplane.domain.errors import RefusedError
from controlplane.domain.receipt import ChainFault, Receipt
from tests.fakes.chains import receipt
from tests.fakes.evidence_builder import COLLECTED


def _chained(*receipts: Receipt) -> list[tuple[str, Receipt]]:
    """Return the receipts numbered and naming each other, with the times that they say."""
    made: list[Receipt] = []
    for one in receipts:
        made.append(link(one, made[-1] if made else None).model_copy(update={"at": one.at}))
    return [(one.file_name(), one) for one in made]


def test_a_link_is_never_before_the_one_that_it_follows() -> None:
    first = link(receipt(1, minute=60), None)

    assert link(receipt(1, "result", minute=0), first).at == "2026-01-02T13:00:00Z"
    assert link(receipt(1, "result", minute=61), first).at == "2026-01-02T13:01:00Z"
    assert link(receipt(2, minute=0, capability=RESET), first).at == "2026-01-02T12:00:00Z"


def test_a_site_that_was_renamed_does_not_write_into_the_old_ones_chain() -> None:
    first = link(receipt(1), None)

    with pytest.raises(RefusedError) as refused:
        link(receipt(1, "result", site="renamed"), first)

    assert str(refused.value) == (
        "the receipts are of site lab, and site.yml names renamed: CAP-20260102-120000__storage.fstab__R0001 was not written. Give the site its name "
        "back, or start the renamed one with a state folder of its own."
    )


@pytest.mark.parametrize(("minute", "faults"), [(60, 0), (55, 0), (54, 1), (-600, 1)])
def test_times_that_run_back_by_more_than_five_minutes_are_a_fault(minute: int, faults: int) -> None:
    chain = _chained(receipt(1, minute=60), receipt(1, "result", minute=minute))

    assert len(chain_faults(chain)) == faults


def test_a_receipt_that_was_dated_back_is_named_with_both_times() -> None:
    chain = _chained(receipt(1, minute=60), receipt(1, "result", minute=0))

    told = "says 2026-01-02T12:00:00Z, and number 1 before it 2026-01-02T13:00:00Z already: it was dated back"
    assert chain_faults(chain) == (ChainFault(file=chain[1][0], reason=told),)


def test_small_steps_back_do_not_add_up() -> None:
    chain = _chained(*(receipt(number, minute=60 - 4 * number) for number in range(1, 4)))

    assert [fault.file[:6] for fault in chain_faults(chain)] == ["000003"]


def test_a_reset_lets_time_begin_anew_and_only_there() -> None:
    reset = {"capability": RESET, "host": "*", "plan": ""}
    chain = _chained(receipt(1, minute=6000), receipt(2, minute=0, **reset), receipt(2, "result", minute=1, **reset), receipt(3, minute=2))
    plain = [one for _, one in chain]

    assert chain_faults(chain) == ()
    assert (latest_time(plain), last_reset(plain), last_reset(plain[:1])) == ("2026-01-02T12:02:00Z", plain[1], None)
    assert behind(plain, COLLECTED) is None
    assert behind(plain[:1], COLLECTED) == "2026-01-06T16:00:00Z"
    assert behind([], COLLECTED) is None
    assert behind(plain, COLLECTED + timedelta(minutes=2) - timedelta(minutes=5, seconds=1)) == "2026-01-02T12:02:00Z"


@pytest.mark.parametrize("at", ["2026-13-41T00:00:00Z", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z"])
def test_times_that_are_none_are_no_receipt(at: str) -> None:
    with pytest.raises(ValueError, match=at):
        receipt(1, at=at)


def test_a_clock_that_began_to_count_anew_is_dated_back_and_no_more() -> None:
    chain = _chained(receipt(1), receipt(1, "result", at="1970-01-01T00:00:00Z"))

    told = "says 1970-01-01T00:00:00Z, and number 1 before it 2026-01-02T12:00:00Z already: it was dated back"
    assert [fault.reason for fault in chain_faults(chain)] == [told]
