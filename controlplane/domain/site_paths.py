"""Paths that a site's own files name: of the site folder, or absolute."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from controlplane.domain.inventory import TEMPLATE_MARKS
from controlplane.domain.names import check_line


def _inside(text: str) -> str:
    """Refuse relative paths that leave the folder; an absolute path is a choice that somebody made in full view."""
    check_line(text)
    if ".." in text.split("/"):
        raise ValueError(f"{text!r} leaves the site folder: name a file inside it, or write an absolute path")
    if any(mark in text for mark in TEMPLATE_MARKS):
        raise ValueError(f"{text!r} holds template marks: write the path itself")
    return text


FilePath = Annotated[str, AfterValidator(_inside)]
