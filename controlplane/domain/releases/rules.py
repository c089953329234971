"""What no single field of releases/STACK.yml or of a manifest shows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from controlplane.domain.faults import Place
from controlplane.domain.names import shown_address
from controlplane.domain.registers import Registers
from controlplane.domain.releases.manifest import Manifest, image_parts
from controlplane.domain.releases.own_gaps import why_no_loop
from controlplane.domain.releases.values import ReleaseSpec
from controlplane.domain.releases.wanted import ENV_FILE, IMAGES_FILE

# What the deployment itself writes into the project's folder.
RESERVED: Final = (ENV_FILE, IMAGES_FILE)


def spec_faults(
    data: Any,
    *,
    stacks: Mapping[str, Collection[str]] | None,
    packs: Collection[str] | None,
    registers: Registers | None,
) -> Iterator[tuple[Place, str]]:
    """Yield the faults of one file. `stacks` are the compose projects of each host of the policy, None where it could not be read.

    `packs` are those of gates.yml, `registers` hold the loops, None likewise.
    """
    if not isinstance(data, Mapping):
        return
    environments = data.get("environments")
    held = dict(environments) if isinstance(environments, Mapping) else {}
    for name, environment in held.items():
        if isinstance(environment, Mapping):
            at: Place = ("environments", name)
            yield from _of_hosts(environment, at, stacks)
            yield from _of_files(environment, at, str(name))
    yield from _of_projects(held)
    yield from _of_urls(held)
    for service, repository in data["images"].items() if isinstance(data.get("images"), Mapping) else ():
        if isinstance(repository, str) and ("@" in repository or ":" in repository.rpartition("/")[2]):
            yield ("images", service), f"{shown_address(repository)} has a tag or a digest: write the repository alone, the manifest names the digest"
    for number, command in enumerate(_list(data, "recert")):
        folder = command.get("dir") if isinstance(command, Mapping) else None
        if isinstance(folder, str) and folder.startswith("~"):
            yield ("recert", number, "dir"), f"{folder} begins with ~, which stays as it is: write the path from / or from the site's folder"
    rules = data.get("promotion")
    pack = rules.get("pack") if isinstance(rules, Mapping) else None
    if isinstance(pack, str) and packs is not None and pack not in packs:
        yield ("promotion", "pack"), f"there is no pack {pack} in gates.yml: define it there, or name one of {', '.join(packs) or 'none'}"
    loop = data.get("loop")
    if isinstance(loop, str) and registers is not None and (told := why_no_loop(loop, registers)) is not None:
        yield ("loop",), told


def manifest_faults(manifest: Manifest, stack: str, spec: ReleaseSpec | None) -> Iterator[tuple[Place, str]]:
    """Yield what is wrong with a manifest as one of this stack; without a spec only what that does not take."""
    if manifest.stack != stack:
        yield ("stack",), f"is {manifest.stack}, and the file lies among the manifests of {stack}: write {stack}, or move the file"
    if spec is None:
        return
    for service in spec.images:
        if service not in manifest.images:
            yield ("images",), f"lacks {service}, which releases/{stack}.yml releases: write its image by digest"
    for service, pinned in manifest.images.items():
        if service not in spec.images:
            yield ("images", service), f"is not released by releases/{stack}.yml: take it out, or add it to images there"
        elif image_parts(pinned)[0] != spec.images[service]:
            yield (
                ("images", service),
                f"is of another repository than {spec.images[service]}, which releases/{stack}.yml names: mend whichever is wrong",
            )


def same_project(other: str, host: str) -> str:
    """Return what is wrong with a project that another stack has on the same host."""
    return f"is the project of {other} on {host} too, and each would remove the other's services: give each its own"


def _of_hosts(environment: Mapping[str, Any], at: Place, stacks: Mapping[str, Collection[str]] | None) -> Iterator[tuple[Place, str]]:
    project, hosts = environment.get("project"), _list(environment, "hosts")
    for number, host in enumerate(hosts):
        if host in hosts[:number]:
            yield (*at, "hosts", number), f"{host} is named twice: once is enough"
        elif isinstance(host, str) and stacks is not None and host not in stacks:
            yield (*at, "hosts", number), f"{host} is no host of policy.yml: name one that it governs"
        elif isinstance(host, str) and isinstance(project, str) and stacks is not None and project not in stacks[host]:
            told = f"hosts.{host}.stacks of policy.yml has no project {project}, so nothing says where it lies: add it there with its dir"
            yield (*at, "project"), told


def _of_files(environment: Mapping[str, Any], at: Place, name: str) -> Iterator[tuple[Place, str]]:
    names: dict[str, int] = {}
    for number, file in enumerate(_list(environment, "compose")):
        if not isinstance(file, str):
            continue
        base = file.rpartition("/")[2]
        if base in RESERVED or not base.endswith((".yml", ".yaml")):
            yield (
                (*at, "compose", number),
                f"{base} can't be a compose file's name: end it with .yml, and leave {' and '.join(RESERVED)} to the deployment",
            )
        if names.setdefault(base, number) != number:
            yield (*at, "compose", number), f"is called as compose.{names[base]}, and both come into one folder: rename one"
    contract = environment.get("contract")
    wanted = f".env.{name}.example"
    if isinstance(contract, str) and contract.rpartition("/")[2] != wanted:
        yield (*at, "contract"), f"{contract} is no contract of {name}: call the file {wanted}"
    smoke = environment.get("smoke")
    for number, file in enumerate(_list(smoke, "files") if isinstance(smoke, Mapping) else []):
        base = file.rpartition("/")[2] if isinstance(file, str) else "test_.py"
        if not (base.startswith("test_") and base.endswith(".py")):
            yield (*at, "smoke", "files", number), f"{base} is no pytest file: call it test_….py"


def _of_projects(environments: Mapping[Any, Any]) -> Iterator[tuple[Place, str]]:
    seen: dict[tuple[str, str], Any] = {}
    for name, environment in environments.items():
        if not isinstance(environment, Mapping):
            continue
        for host in _list(environment, "hosts"):
            other = seen.setdefault((str(host), str(environment.get("project"))), name)
            if other != name:
                yield ("environments", name, "project"), f"is the project of {other} on {host} too, which would be overwritten: give each its own"


def _of_urls(environments: Mapping[Any, Any]) -> Iterator[tuple[Place, str]]:
    """Yield addresses that more than one environment has: the tests of one would ask the other, and prove nothing of their own."""
    seen: dict[str, Any] = {}
    for name, environment in environments.items():
        smoke = environment.get("smoke") if isinstance(environment, Mapping) else None
        urls = smoke.get("urls") if isinstance(smoke, Mapping) else None
        for service, url in urls.items() if isinstance(urls, Mapping) else ():
            other = seen.setdefault(str(url).rstrip("/").lower(), name)
            if other != name:
                yield (
                    ("environments", name, "smoke", "urls", service),
                    f"{shown_address(str(url))} is an address of {other} too: name where {name} is reached",
                )


def _list(data: Mapping[str, Any], field: str) -> list[Any]:
    held = data.get(field)
    return held if isinstance(held, list) else []
