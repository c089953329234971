"""fstab as bytes: find lines, replace or append them, and read back what was written. Nothing here touches a file.

Rules:
- Every line that isn't ours stays byte for byte.
- A control character in a field would make a second entry: it is refused, blanks and backslashes are written as octal.
- What was written is parsed again and compared before anybody sees it.
"""

from __future__ import annotations

import re
from typing import TypedDict

_ESCAPES = {" ": "\\040", "\\": "\\134", "#": "\\043"}
# fstab(5): a device path changes between boots; what is local is named by its UUID.
_SPEC = re.compile(r"UUID=[0-9a-fA-F-]{8,36}|[^\s:/][^:]*:/.*")


class Entry(TypedDict):
    """One entry, as fstab(5) names its fields; `spec`, `file` and `options` without escapes."""

    spec: str
    file: str
    vfstype: str
    options: list[str]
    freq: int
    passno: int


class FstabError(Exception):
    """Say why a file or an entry can't be what it should."""


def checked(entry: Entry) -> Entry:
    """Return one entry whose fields can stand in a line. Raises FstabError."""
    fields = [entry["spec"], entry["file"], entry["vfstype"], *entry["options"]]
    for field in fields:
        if not field or any(ord(char) < 32 or ord(char) == 127 for char in field):
            raise FstabError(f"{field!r}, for {entry['file']!r}, is empty or holds a control character, which would make another entry of it")
    for option in entry["options"]:
        if "," in option:
            raise FstabError(f"{option!r}, an option of {entry['file']!r}, holds a comma, which would make two of it")
    if not entry["options"]:
        raise FstabError(f"{entry['file']!r} has no options; 'defaults' says so explicitly")
    if not _SPEC.fullmatch(entry["spec"]):
        raise FstabError(f"{entry['spec']!r}, for {entry['file']!r}, is neither UUID=… nor server:/path; a device path changes between boots")
    if not entry["file"].startswith("/") or entry["file"] != "/" + "/".join(part for part in entry["file"].split("/") if part not in ("", ".", "..")):
        raise FstabError(f"{entry['file']!r} is not an absolute, normalised mountpoint")
    if not 0 <= entry["freq"] <= 1 or not 0 <= entry["passno"] <= 2:
        raise FstabError(f"{entry['file']!r}: freq is 0 or 1 and passno 0 to 2, not {entry['freq']} and {entry['passno']}")
    return Entry(
        spec=entry["spec"], file=entry["file"], vfstype=entry["vfstype"], options=entry["options"], freq=entry["freq"], passno=entry["passno"]
    )


def escape(field: str) -> str:
    """Return a field with blanks, backslashes and number signs as octal."""
    return "".join(_ESCAPES.get(char, char) for char in field)


def unescape(field: str) -> str:
    """Decode octal escapes, as fstab(5) and getmntent(3) do."""
    return re.sub(rb"\\([0-3][0-7]{2})", lambda match: bytes([int(match[1], 8)]), field.encode("utf-8", "surrogateescape")).decode(
        "utf-8", "surrogateescape"
    )


def line_of(entry: Entry) -> str:
    """Return the entry's line, with its newline."""
    options = ",".join(entry["options"])
    fields = [entry["spec"], entry["file"], entry["vfstype"], options, str(entry["freq"]), str(entry["passno"])]
    return " ".join(escape(field) for field in fields) + "\n"


def parse(line: str) -> Entry | None:
    """Return the fields of one line, None for a comment, a blank line or what no mount program would read."""
    fields = [field for field in re.split(r"[ \t\r\n]+", line) if field]
    if len(fields) < 3 or fields[0].startswith("#"):
        return None
    options = unescape(fields[3]).split(",") if len(fields) > 3 and not fields[3].startswith("#") else ["defaults"]
    numbers = [int(field) if field.isdigit() else 0 for field in [*fields[4:6], "0", "0"][:2]]
    file = unescape(fields[1])
    return {
        "spec": unescape(fields[0]),
        "file": file.rstrip("/") or file,
        "vfstype": fields[2],
        "options": options,
        "freq": numbers[0],
        "passno": numbers[1],
    }


def changed(text: str, entries: list[Entry]) -> str:
    """Return the file's text with each entry in it exactly once. Raises FstabError.

    `text` and the answer hold undecodable bytes as surrogates.
    """
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    wanted = [checked(entry) for entry in entries]
    files = [entry["file"] for entry in wanted]
    if len(set(files)) != len(files):
        raise FstabError("one mountpoint is given twice")
    for entry in wanted:
        places = [number for number, line in enumerate(lines) if _file_of(line) == entry["file"]]
        if len(places) > 1:
            numbers = ", ".join(str(place + 1) for place in places)
            raise FstabError(f"{entry['file']} has {len(places)} entries, in lines {numbers}; remove all but one")
        if places and parse(lines[places[0]]) == entry:
            continue
        if places:
            lines[places[0]] = line_of(entry)
            continue
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        lines.append(line_of(entry))
    answer = "".join(lines)
    _read_back(text, answer, wanted)
    return answer


def _file_of(line: str) -> str | None:
    entry = parse(line)
    return entry["file"] if entry else None


def _read_back(before: str, after: str, wanted: list[Entry]) -> None:
    files = {entry["file"] for entry in wanted}
    seen = [entry for entry in map(parse, after.split("\n")) if entry]
    for entry in wanted:
        found = [one for one in seen if one["file"] == entry["file"]]
        if found != [entry]:
            raise FstabError(f"what was to be written for {entry['file']} reads back as {found}")
    strangers = [[line for line in text.split("\n") if _file_of(line) not in files] for text in (before, after)]
    if [line for line in strangers[0] if line] != [line for line in strangers[1] if line]:
        raise FstabError("a line of somebody else would change")


def faults(report: str) -> set[tuple[str, str]]:
    """Return the errors that `findmnt --verify` reports, as (mountpoint, text): its exit code tells neither all nor only them."""
    found, target = set(), ""
    for line in report.splitlines():
        stripped = line.strip()
        if "parse error at line" in line:
            found.add(("", re.sub(r"^.*?: parse error", "parse error", stripped)))
        elif stripped.startswith("[E]"):
            found.add((target, stripped[3:].strip()))
        elif line and not line[0].isspace():
            target = stripped
    return found
