"""What several compose files say of one thing, each with its place, and the faults that are found on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from controlplane.domain.errors import Fault
from controlplane.domain.faults import Place, Source, fault_at
from controlplane.domain.releases.interpolation import UnresolvedError, resolved


class ComposeFile(NamedTuple):
    """One compose file: its name in the stack's folder, its parsed data, and where its parts stand."""

    name: str
    data: Any
    source: Source


class Asked(NamedTuple):
    """What a set of compose files is judged by.

    `dir` is the project's folder on the machine, `images` the repository of each released service's image. `known` are the variables that the
    contract declares, with the value that it gives or None, `secrets` the secret ones among them.
    """

    project: str
    dir: str
    images: Mapping[str, str]
    known: Mapping[str, str | None]
    secrets: frozenset[str] = frozenset()


class Said(NamedTuple):
    """A value as one file says it."""

    value: Any
    source: Source
    place: Place

    def parts(self) -> Iterator[tuple[str | int, Said]]:
        """Yield what is in a mapping or a list, by its key or number; nothing of anything else."""
        held = self.value.items() if isinstance(self.value, Mapping) else enumerate(self.value) if isinstance(self.value, list) else ()
        for key, value in held:
            yield key, Said(value, self.source, (*self.place, key))


def given(pieces: Sequence[Said], key: str) -> list[Said]:
    """Return what each of these mappings says under a key, in their order; nothing and null are no saying."""
    found = [part for piece in pieces if isinstance(piece.value, Mapping) for name, part in piece.parts() if name == key]
    return [said for said in found if said.value is not None]


class Judging:
    """One judgement: the faults, and the variables of the contract on which it rests."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.faults: list[Fault] = []
        self.deciding: set[str] = set()

    def fault(self, said: Said, message: str, *more: str | int) -> None:
        """Note a fault at that place, or at what `more` leads to from there."""
        self.faults.append(fault_at(said.source, (*said.place, *more), message))

    def text(self, said: Said) -> str | None:
        """Return a text with its variables replaced, None where that is no text or can't be told, which is a fault."""
        if not isinstance(said.value, str):
            self.fault(said, "is no text: write it in quotes")
            return None
        try:
            text, by = resolved(said.value, self.asked.known)
        except UnresolvedError as doubt:
            self.fault(said, f"can't be told here: it {doubt}")
            return None
        self.deciding |= by
        return text

    def truth(self, said: Said) -> bool | None:
        """Return true or false, None where that can't be told, which is a fault."""
        if isinstance(said.value, bool):
            return said.value
        text = self.text(said)
        if text in ("true", "false"):
            return text == "true"
        if text is not None:
            self.fault(said, "is neither true nor false: write one of the two")
        return None

    def of_kind(self, saids: Sequence[Said], kind: type, what: str) -> list[Said]:
        """Return those that are of that kind; each other one is a fault."""
        for said in saids:
            if not isinstance(said.value, kind):
                self.fault(said, f"is no {what}, so what it means can't be judged: write it as one")
        return [said for said in saids if isinstance(said.value, kind)]
