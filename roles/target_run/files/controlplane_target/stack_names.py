"""The project's name as the compose files themselves say it.

A name that is missing is the folder's, and one with a variable in it is somebody's shell's: either makes a new project one day, with empty volumes
(docker/compose#5406). Of several files the last one that has a name counts, as Compose reads them: production may rename what staging is called.
"""

from __future__ import annotations

from .faults import RefusedFault
from .stack_request import Request


def of_the_name(request: Request, read: str | None) -> list[str]:
    """Return what speaks against the names in the compose files, or against the one that Compose reads from them."""
    # PyYAML is laid down for those roles alone that read a compose file's text.
    from .compose_text import ComposeText  # noqa: PLC0415

    found: list[str] = []
    last: tuple[str, str] | None = None
    for name, text in request.files:
        try:
            said = ComposeText(text, f"{request.folder}/{name}").project()
        except RefusedFault as fault:
            found.append(str(fault).removesuffix(" Nothing was changed."))
            continue
        last = last if said is None else (name, said)
    if last is not None:
        found += _of_one(*last, request.project)
    elif not found:
        found.append(
            f"no compose file has a name of its own, so a renamed folder would be a new project with empty volumes: write 'name: {request.project}'"
        )
    if not found and read not in (None, request.project):
        found.append(f"Compose reads the project's name as {read}, not {request.project} as the files say")
    return found


def _of_one(name: str, said: str, project: str) -> list[str]:
    """Return what speaks against the name that the file `name` gives the project."""
    if "$" in said:
        return [
            f"{name} takes the project's name from a variable ({said}), and another value would be a new project with empty volumes: write {project}"
        ]
    if said != project:
        return [f"{name} names the project {said}, not {project} as the release does: a new project would begin with empty volumes"]
    return []
