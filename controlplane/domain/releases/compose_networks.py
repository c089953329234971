"""The networks of a project: which it declares, which each service joins, and what it is called by there.

Rules:
- Compose has a service answer to its own name in each network that it joins, and to its aliases there; Docker adds the names of the container and of
  its host. None of that can be taken away.
- A network is known by its name in Docker: a key alone is the project's own, one with a name, or an external one, may be another project's too.
- A network mode that names a network would join it unseen, so it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

from controlplane.domain.names import AsTuple
from controlplane.domain.releases.compose_keys import check_keys
from controlplane.domain.releases.compose_said import Judging, Said, given
from controlplane.domain.values import Value

_NETWORK: Final = frozenset(
    ["attachable", "driver", "driver_opts", "enable_ipv4", "enable_ipv6", "external", "internal", "ipam", "labels", "name"]
)  # fmt: skip
_JOINED: Final = frozenset(
    [
        "aliases", "driver_opts", "gw_priority", "interface_name", "ipv4_address", "ipv6_address", "link_local_ips", "mac_address", "priority",
    ]
)  # fmt: skip
_MODES: Final = ("bridge", "host", "none")
_OF_OTHERS: Final = ("container:", "service:")


class Answers(Value):
    """What a service answers to in one network, which is known by its name in Docker."""

    network: str
    names: Annotated[tuple[str, ...], AsTuple]


def networks_behind(judging: Judging, tops: Sequence[Said]) -> dict[str, str]:
    """Return the name in Docker of each network that the files declare, by its key; the default one is always there."""
    sections = judging.of_kind(given(tops, "networks"), dict, "mapping")
    keys = ["default", *(str(key) for section in sections for key, _ in section.parts())]
    return {key: _name(judging, key, [part for section in sections for name, part in section.parts() if name == key]) for key in dict.fromkeys(keys)}


def _name(judging: Judging, key: str, pieces: Sequence[Said]) -> str:
    pieces = judging.of_kind([piece for piece in pieces if piece.value is not None], dict, "mapping")
    for piece in pieces:
        check_keys(judging, piece, _NETWORK)
    named = [judging.text(said) for said in given(pieces, "name")[-1:]]
    external = [judging.truth(said) for said in given(pieces, "external")[-1:]]
    return next(iter(named), None) or (key if True in external else f"{judging.asked.project}_{key}")


def networks_of(judging: Judging, pieces: Sequence[Said]) -> tuple[str, ...]:
    """Return the keys of the networks that a service joins, none where it has a network mode instead."""
    for said in given(pieces, "networks"):
        if not isinstance(said.value, dict | list):
            judging.fault(said, "is no list or mapping of networks, so what it means can't be judged: write it as one")
        elif isinstance(said.value, dict):
            for how in judging.of_kind([part for _, part in said.parts() if part.value is not None], dict, "mapping"):
                check_keys(judging, how, _JOINED)
    joined = [str(key) if isinstance(said.value, dict) else part.value for said in given(pieces, "networks") for key, part in said.parts()]
    for mode in given(pieces, "network_mode")[-1:]:
        text = judging.text(mode)
        if text is not None and text not in _MODES and not text.startswith(_OF_OTHERS):
            judging.fault(mode, f"is none of {', '.join(_MODES)} and service:NAME: join a network under networks")
        return ()
    return tuple(dict.fromkeys(one for one in joined if isinstance(one, str))) or ("default",)


def answers_of(
    judging: Judging, name: str, pieces: Sequence[Said], *, container: str | None, joined: Sequence[str], behind: Mapping[str, str]
) -> tuple[Answers, ...]:
    """Return what a service answers to in each network that it joins, in lower case, as Docker compares names."""
    hosts = [judging.text(said) for said in given(pieces, "hostname")[-1:]]
    own = {one.lower() for one in (name, container, *hosts) if one}
    found: dict[str, set[str]] = {}
    for key in joined:
        found.setdefault(behind.get(key, key), set()).update(own, _aliases(judging, key, pieces))
    return tuple(Answers(network=network, names=tuple(sorted(names))) for network, names in found.items())


def _aliases(judging: Judging, network: str, pieces: Sequence[Said]) -> set[str]:
    joined = [said for one in given(pieces, "networks") if isinstance(one.value, dict) for said in given([one], network)]
    lists = judging.of_kind(given(joined, "aliases"), list, "list")
    return {text.lower() for said in lists for _, part in said.parts() if (text := judging.text(part)) is not None}
