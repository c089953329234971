"""Whether a tree's `lost+found` is its filesystem's own, which nobody copies and nobody counts, or a tenant's folder of that name, which is data.

Only ext2, ext3 and ext4 have one, in their root: its inode is 11, the first that is not reserved, and that of the root is 2.
"""

from __future__ import annotations

import os
import stat

from .mounts import mount_of, read

NAME = "lost+found"
_ROOT_INODE, _INODE = 2, 11
_KINDS = ("ext2", "ext3", "ext4")


def is_own(top: str | bytes) -> bool:
    """Say whether the tree at `top` (text or bytes) is the root of a filesystem that has made its `lost+found` itself. Raises `OSError` but for one that is gone."""
    path = os.fsdecode(top)
    try:
        root, found = os.lstat(path), os.lstat(os.path.join(path, NAME))
    except FileNotFoundError:
        return False
    is_its = stat.S_ISDIR(found.st_mode) and found.st_dev == root.st_dev and (root.st_ino, found.st_ino, found.st_uid) == (_ROOT_INODE, _INODE, 0)
    return is_its and mount_of(os.path.realpath(path), read()).fstype in _KINDS


def is_there(top: str | bytes) -> bool:
    """Say whether the tree has something of that name."""
    return os.path.lexists(os.path.join(os.fsdecode(top), NAME))


def names_in(top: str) -> list[str]:
    """Return the names at the top of a tree that are somebody's data. Raises `OSError`."""
    own = is_own(top)
    return [name for name in os.listdir(top) if not (own and name == NAME)]


def clash(source: str, destination: str) -> list[str]:
    """Return why a tree can't be copied: its folder of that name would become the filesystem's own. Empty where nothing speaks against it."""
    if not is_there(source) or is_own(source) or not is_own(destination):
        return []
    reason = (
        f"{os.path.join(source, NAME)} is data, and {destination}, the root of a filesystem, has a {NAME} of its own: name a folder below {destination} "
        "as the place, or give that folder another name"
    )
    return [reason]
