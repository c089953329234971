"""A new text of a file that people edit, and of which text it was made."""

from __future__ import annotations

from typing import NamedTuple


class NewText(NamedTuple):
    """The whole text that a file is to have. `was` is the digest of the one that it was made from, `absent` where there was no file.

    People save, and git pulls, without any lock of ours: whoever writes it compares once more, so that no change of theirs is lost.
    """

    text: str
    was: str
