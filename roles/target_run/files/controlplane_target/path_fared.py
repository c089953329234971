"""What it means that the output of a service's own proof differs after a move: its files, old place against new one, decide.

Rules:
- The output was read before the stop with nothing held, and again with clients back: a difference alone is no loss.
- Lost is what the files say: one that is not as it was, and that nobody wrote since the start. Of all of them the copy was compared while nothing ran.
- Where nobody wrote to either place since the output was read, nothing explains that it differs: then it is lost all the same.
- Else it is unknown, and told.
"""

from __future__ import annotations

from typing import Any

from .path_listing import Sides, written_since


def explained(told: dict[str, Any], sides: Sides | None, taken_ns: int, started_ns: int) -> dict[str, Any]:
    """Return what is told of a proof whose output differs, by the files; the output was read from `taken_ns` on, the service was started after `started_ns`.

    `sides` is None where there is nothing to look at. Raises `OSError`.
    """
    if sides is None:
        return _unknown(told, {}, "nothing is left of the old place to look at")
    listing = sides.listed(started_ns)
    if listing["lost"]:
        return {**told, **listing}
    if told["lost"] and not sides.is_written_behind(taken_ns) and not written_since(sides.new, started_ns):
        return {**told, **listing, "lost": told["lost"]}
    why = "files were written since it was read before the stop" if told["lost"] else "nobody knows since when it ran"
    return _unknown(told, listing, f"{why}; each file is as it was, or was changed by the service since its start")


def _unknown(told: dict[str, Any], listing: dict[str, Any], why: str) -> dict[str, Any]:
    said = f"what its proof says (its output differs, and {why})"
    return {**told, **listing, "lost": [], "unknown": int(listing.get("unknown", 0)) + 1, "not_proven": [*listing.get("not_proven", []), said]}
