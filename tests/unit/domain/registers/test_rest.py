"""Which sayings tell that some of a work remains, and which tell that none does, or how it came about."""

from __future__ import annotations

import time

import pytest

from controlplane.domain.registers.rest import said_to_remain


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("All moved; two are left", "two are left"),
        ("Moved by W8E. One volume is left on the boot disk.", "is left"),
        ("There are 3 volumes left.", "3 volumes left"),
        ("minio is left, but harmless", "is left"),
        ("its data is still on the boot disk", "still on the boot disk"),
        ("mint-apps: still\non the boot disk", "still on the boot disk"),
        ("The journal still lies on vda", "still lies"),
        ("minio still has to be moved", "still has to"),
        ("some gaps are open", "gaps are open"),
        ("Done; some of them are open", "some of them are open"),
        ("GAP-OP-4 is open", "GAP-OP-4 is open"),
        ("closed with two open gaps", "with two open gaps"),
        ("volumes remain unmoved", "remain"),
        ("two volumes unmoved", "unmoved"),
        ("redis: not moved yet", "not moved yet"),
        ("redis is not yet moved", "not yet"),
        ("It isn't yet moved", "n't yet"),
        ("redis hasn't been moved yet", "hasn't been moved"),
        ("redis has yet to be moved", "yet to be"),
        ("the reboot is outstanding", "is outstanding"),
        ("Outstanding: the reboot", "Outstanding"),
        ("the approval is pending", "is pending"),
        ("two moves pending", "pending"),
        ("closed pending the review", "pending the"),
        ("the move of minio is not finished", "is not finished"),
        ("nothing is left but two volumes", "is left"),
        ("no volume is left on the boot disk, except minio's", "is left"),
        ("nothing is pending save the reboot", "is pending"),
        ("nothing was moved and two are left", "two are left"),
        ("It was still open; two were left to do", "still open"),
        ("Moved with no downtime minio remains on vda", "remains"),
        ("Ran with zero loss and minio remains to move", "remains"),
        ("With zero loss minio remains to move", "remains"),
        ("nothing moved minio remains", "remains"),
        ("none was lost minio remains", "remains"),
        ("minio was moved, two are left", "two are left"),
        ("The two are left", "two are left"),
        ("12 volumes left", "12 volumes left"),
        ("still in the container's own layer", "still in the container's own layer"),
        ("still on its old disk", "still on its old disk"),
        ("GAP-OP-4 stays open", "GAP-OP-4 stays open"),
        ("only minio is missing", "only minio is missing"),
        ("minio has not moved", "has not moved"),
        ("no decision on the remaining volumes", "remaining"),
    ],
)
def test_what_says_that_some_remains_is_found(text: str, said: str) -> None:
    assert said_to_remain(text) == said


@pytest.mark.parametrize(
    "text",
    [
        "minio was left out of it",
        "the compose file is left as it was",
        "the old tree is left in place",
        "two hosts are left alone",
        "two volumes were left, and W8E moved them",
        "what the wave left on the boot disk was moved",
        "nothing is left",
        "None is left.",
        "none of the volumes is left",
        "no data volume is left on the boot disk",
        "0 volumes left",
        "no gap is open any more",
        "no gaps are open",
        "two gaps were opened and closed",
        "opened for W8C",
        "the port is open",
        "two are open to the network by decision",
        "its data is no longer on the boot disk",
        "the data was still on the boot disk before",
        "both were found still on the boot disk",
        "it still works",
        "no data is still on the boot disk",
        "when it began, redis had not been moved yet",
        "it wasn't yet moved then",
        "nothing is pending",
        "no approval pending",
        "the approval is no longer pending",
        "the two approvals that were pending came",
        "the pending volumes were moved by W8E",
        "nothing outstanding.",
        "an outstanding disk was replaced",
        "what was outstanding is done",
        "all three waves ended well",
        "The boot disk has 12 GB left.",
        "30 percent left",
        "30% is left on the boot disk",
        "Purged the three volumes left on the boot disk.",
        "W8E moved the two left over from W8A.",
        "two were left, and W8E moved them",
        "After the reboot all data are still on the data disk.",
        "docker is still at the same version",
        "The timer is still in the unit list",
        "neither volume remains",
        "Neither GAP-OP-4 nor GAP-OP-5 is open",
        "neither minio nor the redis of the apps is still on the boot disk",
        "not a single volume is left",
        "No volume of the apps stack is left on the boot disk.",
        "No redis-data volume is left",
        "No data volume remains",
        "none of the four volumes is left",
        "none of the two is left",
        "0 of 4 volumes are left",
        "Nothing on the boot disk remains.",
        "Nothing else remains.",
        "Nothing on mint-data remains.",
        "no approval is still pending",
        "It began with two open gaps, both closed by W8E.",
        "was at that time still on the boot disk",
        "its data were, until W8E, still on the boot disk",
    ],
)
def test_what_says_that_all_is_done_is_let_through(text: str) -> None:
    assert said_to_remain(text) is None


def test_a_text_of_denials_takes_no_longer_than_its_length() -> None:
    began = time.process_time()
    assert said_to_remain("nothing remains " * 10_000) is None
    # A second or so; where all that stands before is read for each, it is a minute.
    assert time.process_time() - began < 15
