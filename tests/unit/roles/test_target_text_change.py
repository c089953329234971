"""A change is taken back byte for byte by what was kept of it, and what stayed is not kept."""

from __future__ import annotations

import pytest
from controlplane_target.text_change import change_of, taken_back


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", "a"),
        ("a", ""),
        ("same", "same"),
        ("requirepass hidden\nsave 1 1\n", "requirepass hidden\nsave 2 2\nappendonly yes\n"),
        ('command: a --pass hidden --save "1 1"\r\n', 'command: "a --pass hidden --save \\"1 1\\" --appendonly yes"\r\n'),
        ("aaa", "aaaa"),
        ("ü \udcff end", "ü \udcff other end"),
    ],
)
def test_it_is_taken_back_and_a_secret_beside_it_is_not_part_of_it(old: str, new: str) -> None:
    change = change_of(old, new)
    assert taken_back(new, change) == old
    assert taken_back(new + "x", change) is None
    assert "hidden" not in str(change["edits"])
