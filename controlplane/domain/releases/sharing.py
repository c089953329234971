"""What two projects on one machine must not have in common.

Rules:
- A container's name is there once a machine.
- Staging and production of one stack have no volume and no directory in common that either of them writes: else staging would change what production
  reads. Two stacks have none that both write; one may read what another writes.
- Staging and production of one stack answer to no name in common in one network: else a service of one may ask the other's. Other stacks may, as
  many do behind one proxy.
- A directory that lies in another is one with it. A volume is known by its name in Docker, whatever the files call it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from controlplane.domain.paths import overlap
from controlplane.domain.releases.compose_view import ComposeView


def shared(own: ComposeView, other: ComposeView, *, whose: str, host: str, one_stack: bool) -> Iterator[str]:
    """Yield what is wrong with a project beside another on the host; `whose` names the other, `one_stack` says that both are of one stack."""
    containers = {service.container for service in other.services}
    for service in own.services:
        if service.container is not None and service.container in containers:
            yield f"names a container {service.container} on {host}, as {whose} does: leave container_name out, or give each its own"
    theirs = _volumes(other)
    for name, writes in _volumes(own).items():
        if name in theirs and _collide(writes, theirs[name], one_stack=one_stack):
            yield f"mounts the volume {name} on {host}, as {whose} does: give each its own, else one destroys the other's data"
    sources = _sources(other)
    for source, writes in _sources(own).items():
        for place, written in sources.items():
            if overlap(source, place) and _collide(writes, written, one_stack=one_stack):
                told = "as" if place == source else f"and {place}"
                yield f"binds {source} on {host}, {told} {whose} does: give each a directory of its own, else one destroys the other's data"
    answered = _answers(other) if one_stack else {}
    for network, names in _answers(own).items():
        if both := sorted(names & answered.get(network, set())):
            told = f"answers to {', '.join(both)} in the network {network} on {host}, as {whose} does"
            yield f"{told}: give each environment a network of its own, else services of one ask those of the other"


def _answers(view: ComposeView) -> dict[str, set[str]]:
    """Return what the project answers to, by networks' names in Docker."""
    found: dict[str, set[str]] = {}
    for one in (one for service in view.services for one in service.answers):
        found.setdefault(one.network, set()).update(one.names)
    return found


def _collide(writes: bool, written: bool, *, one_stack: bool) -> bool:
    return (writes or written) if one_stack else (writes and written)


def _volumes(view: ComposeView) -> dict[str, bool]:
    """Return the volumes by their names in Docker, and whether the project writes to each."""
    mounts = [(one.name, one.read_only) for service in view.services for one in service.volumes]
    return _written([*mounts, *((bind.named, bind.read_only) for service in view.services for bind in service.binds if bind.named)])


def _sources(view: ComposeView) -> dict[str, bool]:
    """Return what is bound of the machine, and whether the project writes to it."""
    return _written((bind.source, bind.read_only) for service in view.services for bind in service.binds)


def _written(mounts: Iterable[tuple[str, bool]]) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for name, read_only in mounts:
        found[name] = found.get(name, False) or not read_only
    return found
