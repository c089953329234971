"""The project's name as the compose files themselves say it.

A name that is missing is the folder's, and one with a variable in it is somebody's shell's: either makes a new project one day, with empty volumes
(docker/compose#5406).
"""

from __future__ import annotations

from .faults import RefusedFault


def of_the_name(files: tuple[tuple[str, str], ...], folder: str, project: str) -> list[str]:
    """Return what speaks against the names in these files."""
    # PyYAML is laid down for those roles alone that read a compose file's text.
    from .compose_text import ComposeText  # noqa: PLC0415

    found, named = [], False
    for name, text in files:
        try:
            said = ComposeText(text, f"{folder}/{name}").project()
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
    return found
