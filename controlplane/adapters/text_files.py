"""Read a text file that a person wrote, or say why not."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Final

from controlplane.domain.errors import Fault, InputInvalidError

# A policy of 10,000 hosts has some 7 MB.
LARGEST_FILE: Final = 32 * 1024**2

_RAW_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]|\r(?!\n)")


def read_text(path: Path, *, limit: int = LARGEST_FILE) -> str:
    """Return the text of a UTF-8 file of at most `limit` bytes; InputInvalidError says why it can't be read."""
    file = str(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise _refusal(file, 0, "is a folder: name a file")
        if not stat.S_ISREG(status.st_mode):
            raise _refusal(file, 0, "is no regular file: name a file")
        with path.open("rb") as stream:
            # Room for the whole limit would cost more than reading a few megabytes; a file that grew meanwhile is read to its end all the same.
            raw = stream.read(min(status.st_size, limit) + 1)
            if len(raw) > status.st_size:
                raw += stream.read(limit + 1 - len(raw))
    except FileNotFoundError:
        raise _refusal(file, 0, "does not exist: create it, or name the file that you meant") from None
    except OSError as error:
        raise _refusal(file, 0, f"can't be read ({error.strerror}): check its owner and mode") from None
    if len(raw) > limit:
        raise _refusal(file, 0, f"is larger than {limit // 1024**2} MiB: split the site or remove what does not belong here")
    for mark, name in ((b"\xef\xbb\xbf", "UTF-8"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16")):
        if raw.startswith(mark):
            raise _refusal(file, 1, f"starts with a byte order mark ({name}), which other programs read as text: save it as plain UTF-8 without one")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _refusal(file, line, f"is not UTF-8 (byte 0x{raw[error.start]:02x}): save it as UTF-8") from None


def control_faults(text: str, file: str, *, most: int = 1000) -> list[Fault]:
    """Return a fault, up to `most`, for each control or direction character that another reader or a terminal would make something of."""
    faults: list[Fault] = []
    line, start = 1, 0
    for found in _RAW_CONTROL.finditer(text):
        line += text.count("\n", start, found.start())
        start = found.start()
        faults.append(Fault(file, line, "", f"holds the control character {found[0]!r}: remove it"))
        if len(faults) >= most:
            break
    return faults


def _refusal(file: str, line: int, message: str) -> InputInvalidError:
    return InputInvalidError([Fault(file, line, "", message)])
