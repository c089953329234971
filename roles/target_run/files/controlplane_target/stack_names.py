"""The project's name as the compose files themselves say it.

A name that is missing is the folder's, and one with a variable in it is somebody's shell's: either makes a new project one day, with empty volumes
(docker/compose#5406).
"""

from __future__ import annotations

from .faults import RefusedFault
from .stack_request import Request


def of_the_name(request: Request, read: str | None) -> list[str]:
    """Return what speaks against the names in the compose files, or against the one that Compose reads from them."""
    # PyYAML is laid down for those roles alone that read a compose file's text.
    from .compose_text import ComposeText  # noqa: PLC0415

    found, named, project = [], False, request.project
    for name, text in request.files:
        try:
            said = ComposeText(text, f"{request.folder}/{name}").project()
        except RefusedFault as fault:
            found.append(str(fault).removesuffix(" Nothing was changed."))
            continue
        if said is None:
            continue
        named = True
        if "$" in said:
            found.append(
                f"{name} takes the project's name from a variable ({said}), and another value would be a new project with empty volumes: write {project}"
            )
        elif said != project:
            found.append(f"{name} names the project {said}, not {project} as the release does: a new project would begin with empty volumes")
    if not named and not found:
        found.append(f"no compose file has a name of its own, so a renamed folder would be a new project with empty volumes: write 'name: {project}'")
    if not found and read not in (None, project):
        found.append(f"Compose reads the project's name as {read}, not {project} as the files say")
    return found
