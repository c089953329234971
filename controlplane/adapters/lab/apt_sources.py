"""Find the Debian mirror that this machine's own apt sources name."""

from __future__ import annotations

from pathlib import Path

from controlplane.domain.errors import RefusedError


def _from_deb822(text: str) -> list[tuple[str, str]]:
    found = []
    for stanza in text.replace("\r", "").split("\n\n"):
        fields: dict[str, str] = {}
        for line in stanza.splitlines():
            key, colon, value = line.partition(":")
            if colon and not line.startswith(("#", " ")):
                fields[key.strip().lower()] = value.strip()
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() != "no":
            found += [(u, s) for u in fields.get("uris", "").split() for s in fields.get("suites", "").split()]
    return found


def _from_list(text: str) -> list[tuple[str, str]]:
    found = []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if words[:1] != ["deb"]:
            continue
        if len(words) > 1 and words[1].startswith("["):
            end = next((i for i, word in enumerate(words) if word.endswith("]")), len(words))
            words = [words[0], *words[end + 1 :]]
        if len(words) >= 3:
            found.append((words[1], words[2]))
    return found


def debian_mirror(apt: Path = Path("/etc/apt"), suite: str = "bookworm") -> str:
    """Return the address of the first apt source of `apt` that carries `suite`; none is a refusal."""
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    for file in files:
        if not file.is_file() or file.suffix not in {".list", ".sources"}:
            continue
        parse = _from_deb822 if file.suffix == ".sources" else _from_list
        for address, name in parse(file.read_text(errors="replace")):
            if name == suite:
                return address.rstrip("/")
    raise RefusedError(
        f"The lab can't build its image: no apt source under {apt} names a mirror for '{suite}'. "
        f"Add one (deb <mirror> {suite} main) and run it again. Nothing was changed."
    )
