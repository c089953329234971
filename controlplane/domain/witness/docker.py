"""Questions about Docker: its roots, its log driver, what its store holds, each container's mounts and writable layer, released stacks."""

from __future__ import annotations

import json
import re

from controlplane.domain.asking import HYGIENE_SERVICE, HYGIENE_TIMER
from controlplane.domain.checks.landing import covering, is_at_or_below
from controlplane.domain.evidence_shapes.docker import Container, ContainerMount
from controlplane.domain.releases.running import services_of
from controlplane.domain.witness.ask import Ask, Asked, Told, not_installed, unit_asks

# `docker system df` by its own names.
_KINDS = {"images": "Images", "build_cache": "Build Cache", "volumes": "Local Volumes"}
# Of every container there is, also one that only the second witness sees.
_EACH = 'ids=$(docker ps --all --quiet --no-trunc) || exit; if test -n "$ids"; then docker inspect --format "$1" $ids; fi'
_WRITES = "{{$name := .Name}}{{range .Mounts}}{{if .RW}}{{$name}} {{.Destination}} {{.Source}}{{println}}{{end}}{{end}}"
_LOGS = "{{.Name}} {{.HostConfig.LogConfig.Type}}{{range $key, $value := .HostConfig.LogConfig.Config}} {{$key}}={{$value}}{{end}}"


def data_root(told: Told) -> Asked:
    """Ask where Docker's root is, and on which mount it lies."""
    if told.case.without_docker:
        return [not_installed()]
    root = told.reader.docker_info["root"]
    return [Ask(("docker", "info", "--format", "{{.DockerRootDir}}"), root), *_lies_on(told, root)]


def containerd_root(told: Told) -> Asked:
    """Ask on which mount containerd's root lies."""
    if told.case.without_docker:
        return [not_installed()]
    return _lies_on(told, told.reader.docker_config["containerd_root"] or "")


def _lies_on(told: Told, path: str) -> list[Ask]:
    place = told.reader.paths.get(path)
    return [Ask(("findmnt", "-fnro", "TARGET", "--target", path), place["mount"])] if place is not None and place["exists"] else []


def log(told: Told) -> Asked:
    """Ask for the log driver of new containers, and for driver and options of each that there is."""
    if told.case.without_docker:
        return [not_installed()]
    each = [
        " ".join([f"/{name}", one["log_driver"], *(f"{key}={value}" for key, value in sorted(one["log_options"].items()))])
        for name, one in told.case.containers.items()
    ]
    running = Ask(("docker", "info", "--format", "{{.LoggingDriver}}"), told.reader.docker_info["logging_driver"])
    return [running, _of_each(told, _LOGS, each)]


def _of_each(told: Told, template: str, lines: list[str]) -> Ask:
    # A container that has gone meanwhile contradicts no MET, and one that has come no drift.
    return Ask(("sh", "-c", _EACH, "sh", template), "\n".join(lines), "within" if told.is_met else "lines")


def budget(told: Told) -> Asked:
    """Ask how much Docker keeps of images, build cache or volumes."""
    if told.case.without_docker:
        return [not_installed()]
    limit = getattr(told.desired.thresholds, told.named)
    # One answer serves all three: Docker works for it.
    return [Ask(("docker", "system", "df", "--format", "{{.Type}}={{.Size}}"), str(limit), told.limit, pick=f"{_KINDS[told.named]}=")]


def hygiene_timer(told: Told) -> Asked:
    """Ask for the timer that clears Docker's store, and for what it starts."""
    units = told.reader.units
    timer, service = units.get(HYGIENE_TIMER), units.get(HYGIENE_SERVICE)
    loads = [Ask(("systemctl", "show", "--value", "-p", "LoadState", HYGIENE_SERVICE), service["load_state"])] if service is not None else []
    return [*unit_asks(HYGIENE_TIMER, timer), *loads]


def service(told: Told) -> Asked:
    """Ask whether a container runs, how many mounts it has, and where each comes from that holds its data or a part of them."""
    wanted = told.desired.services.get(told.named)
    if wanted is None or told.case.without_docker:
        return [not_installed()] if wanted is not None else []
    seen = told.case.containers.get(told.named)
    if seen is None:
        return [_no_container(told.named)]
    asked = [_inspect(told.named, "{{.State.Running}}", "true" if seen["running"] else "false")]
    # One that only the second witness sees could take a part of the data elsewhere.
    asked.append(_inspect(told.named, "{{len .Mounts}} {{len .HostConfig.Tmpfs}}", f"{len(seen['mounts'])} {len(seen['tmpfs'])}"))
    home = covering(seen, wanted.data)
    return asked + [_source_of(told.named, one) for one in seen["mounts"] if one == home or is_at_or_below(one["destination"], wanted.data)]


def unlisted(told: Told) -> Asked:
    """Ask for every writable mount of every container, or for the one that the finding names."""
    if told.case.without_docker:
        return [not_installed()]
    name, _, path = told.named.partition(":")
    if name == "*":
        seen = told.case.containers.items()
        lines = [f"/{one} {mount['destination']} {mount['source']}" for one, held in seen for mount in held["mounts"] if mount["rw"]]
        return [_of_each(told, _WRITES, lines)]
    return _mount_at(told.case.containers.get(name), path)


def surface(told: Told) -> Asked:
    """Ask what is mounted at a path of a container, and for owner and mode of the place where that is declared."""
    name, _, path = told.named.partition(":")
    if told.case.without_docker:
        return [not_installed()]
    seen = told.case.containers.get(name)
    if seen is None:
        return [_no_container(name)]
    asked = _mount_at(seen, path)
    for wanted in told.desired.write_surfaces:
        place = told.reader.paths.get(wanted.place)
        if (wanted.container, wanted.path) != (name, path) or place is None or place["mode"] is None or not place["exists"]:
            continue
        asked.append(
            Ask(("stat", "--dereference", "--format=%u:%g %a", "--", wanted.place), f"{place['uid']}:{place['gid']} {place['mode'] & 0o7777:o}")
        )
    return asked


def layers(told: Told) -> Asked:
    """Ask how much the writable layers hold, or the one that the finding names."""
    if told.case.without_docker:
        return [not_installed()]
    limit = str(told.desired.thresholds.writable_layer)
    sizes = ("docker", "ps", "--all", "--size", "--format", "{{.Size}}")
    if told.named != "*":
        return [Ask((*sizes, "--filter", _named(told.named)), limit, told.limit)]
    return [Ask(sizes, limit, told.limit)] if told.case.containers else []


def release(told: Told) -> Asked:
    """Ask for image and health of each container of a released stack."""
    wanted = next((one for one in told.desired.releases if one.stack == told.named), None)
    seen = services_of(wanted.project, told.reader.containers) if wanted is not None else {}
    template = "{{.Image}} {{if .State.Health}}{{.State.Health.Status}}{{end}}"
    return [
        _inspect(one["name"], template, f"{one['image_id']} {one.get('health') or ''}".strip())
        for named in (wanted.images if wanted is not None else ())
        for one in seen.get(named, ())
    ]


def _mount_at(seen: Container | None, path: str) -> list[Ask]:
    if seen is None:
        return []
    exact = next((one for one in seen["mounts"] if one["destination"] == path), None)
    home = exact or covering(seen, path)
    return [_source_of(seen["name"], home)] if home is not None else [_inspect(seen["name"], _source_at(path), "")]


def _source_of(container: str, mount: ContainerMount) -> Ask:
    return _inspect(container, _source_at(mount["destination"]), mount["source"])


def _source_at(destination: str) -> str:
    return "{{range .Mounts}}{{if eq .Destination " + json.dumps(destination, ensure_ascii=False) + "}}{{.Source}}{{end}}{{end}}"


def _inspect(container: str, template: str, expect: str) -> Ask:
    return Ask(("docker", "inspect", "--format", template, container), expect)


def _no_container(name: str) -> Ask:
    return Ask(("docker", "ps", "--all", "--filter", _named(name), "--format", "{{.Names}}"), "")


def _named(name: str) -> str:
    # Docker takes it for an expression, and names begin with a slash there.
    return f"name=^/?{re.escape(name)}$"
