"""What of a way back is not proven is said in words, and what is proven says nothing."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.told_proof import unproven


def of_paths(proof: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    return {"container": "shop", "paths": [{"data": "/data", "from": "/mnt/data/shop", "to": "volume shop", "proof": proof}], **more}


@pytest.mark.parametrize(
    "told",
    [
        None,
        {},
        of_paths(None),
        of_paths({"tables": 3, "equal": 3, "unknown": 0, "lost": 0}),
        {"container": "cache", "keys": {"before": 3, "equal": 3, "unknown": 0, "lost": 0}},
        {"container": "cache", "keys": None},
        {"undo": {"files": []}},
    ],
)
def test_what_is_proven_or_told_by_nobody_says_nothing(told: dict[str, Any] | None) -> None:
    assert unproven(told) == ()


@pytest.mark.parametrize(
    ("told", "sentences"),
    [
        (
            of_paths({"not_proven": ["all of it: what it was before the stop is not known"]}),
            ["/data of shop is not proven: all of it: what it was before the stop is not known"],
        ),
        (of_paths({"unknown": 2}), ["/data of shop: 2 of what it keeps differ from before, and whether clients changed that nobody can say"]),
        (
            of_paths({"lost": 1}, complaint="1 of what shop keeps are not as they were before"),
            [
                "1 of what shop keeps are not as they were before",
                "/data of shop: 1 of what it keeps are gone or differ from before, and nothing explains it",
            ],
        ),
        (
            {"container": "cache", "keys": {"not_proven": ["all of it: cut off"]}, "forgotten": {"users": ["ops"], "settings": ["hz", "loglevel"]}},
            [
                "cache is not proven: all of it: cut off",
                "cache: its server forgot by its restart what it had only while it ran: settings hz, loglevel; users ops. Set that again",
            ],
        ),
    ],
)
def test_each_doubt_is_a_sentence_of_its_own(told: dict[str, Any], sentences: list[str]) -> None:
    assert list(unproven(told)) == sentences
