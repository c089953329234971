"""What a role told of how data fared on its way, in words: what of it is not proven.

Shapes: of a container's paths {"container", "paths": [{"data", "proof": a proof or None}], "complaint": what was found to be wrong}; of a Redis
{"container", "keys": a proof or None, "forgotten"}. A proof has `not_proven` (what was not compared, in words), `unknown` (how much differs so that
nobody can say why), `lost` (how much is gone or differs, and nothing explains it) and `forgotten` ({users, settings}: what a Redis had only while it
ran), each where there is any.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from controlplane.domain.receipt import Receipt


def unproven(told: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return a sentence for each thing of which a role told that it is not proven, lost, or forgotten by a restart; none of what it is silent on."""
    if told is None:
        return ()
    name = str(told.get("container") or "its service")
    wrong = (str(told["complaint"]),) if told.get("complaint") else ()
    return (*wrong, *(sentence for what, proof in _proofs(name, told) for sentence in _of(what, proof)))


def unproven_back(chain: Sequence[Receipt], keys: Collection[str]) -> tuple[str, ...]:
    """Return such a sentence, with its step, for each thing that is not proven of how the steps of these keys went back."""
    ended = (one for one in chain if one.undoes in keys and one.outcome == "rolled-back")
    return tuple(f"{one.step} | roll back: {doubt}" for one in ended for doubt in unproven(one.told))


def _proofs(name: str, told: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path in told.get("paths") or ():
        yield f"{path.get('data')} of {name}", path.get("proof") or {}
    yield name, {**(told.get("keys") or {}), **({"forgotten": told["forgotten"]} if told.get("forgotten") else {})}


def _of(what: str, proof: Mapping[str, Any]) -> Iterator[str]:
    if left := proof.get("not_proven"):
        yield f"{what} is not proven: {'; '.join(map(str, left))}"
    if lost := proof.get("lost"):
        yield f"{what}: {lost} of what it keeps are gone or differ from before, and nothing explains it"
    if differ := proof.get("unknown"):
        yield f"{what}: {differ} of what it keeps differ from before, and whether clients changed that nobody can say"
    if forgotten := proof.get("forgotten"):
        names = "; ".join(f"{kind} {', '.join(map(str, those))}" for kind, those in sorted(forgotten.items()))
        yield f"{what}: its server forgot by its restart what it had only while it ran: {names}. Set that again"
