"""Lay down the run's tools, each file atomically, and become them. Travels in the command that it is the first part of.

`told` is {"folder", "files": {name: text}}, where a name may begin with one folder of its own; what the tools are told follows as this program's
own arguments. They run in this process, as if Python had been started with their folder: a second start costs as much again as the lease itself.
"""

import fcntl
import hashlib
import os
import stat
import sys
from pathlib import Path

UNFINISHED = ".new-"
MEMORY = Path("/run")
COMPILED = MEMORY / "controlplane-compiled"


def held(path):
    """Return a file's bytes, None where there is none, or no plain one."""
    return path.read_bytes() if path.is_file() and not path.is_symlink() else None


def time_of(data):
    """Return the time that a file with this content bears, whichever run laid it down.

    By time and length Python takes what it compiled for a file's own; so another content has to bear another time.
    """
    return int.from_bytes(hashlib.sha256(data).digest()[:4], "big") >> 1


def is_held(path, data):
    """Say whether the file is there with this content and its time."""
    return held(path) == data and path.stat().st_mtime == time_of(data)


def write(path, data):
    """Write the file that takes this one's place, under a name of its own; it is not durable yet."""
    handle = os.open(unfinished(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(data)
        file.flush()
        os.utime(file.fileno(), (time_of(data), time_of(data)))


def unfinished(path):
    """Return where a file is written before it takes its place."""
    return path.with_name(f"{UNFINISHED}{path.name}")


def make(folder):
    """Make the folder (0700) and what is missing above it, durably."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)
    for one in {one.parent for one in missing}:
        sync(one)


def sync(path):
    """Make a file's content durable, or what happened in a folder."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lay_down(package, wanted):
    """Make the package hold what is wanted and nothing else; return the names that differed. Raises OSError."""
    make(package)
    folder = os.open(package, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # No lease keeps a second attempt of the same run away yet.
        fcntl.flock(folder, fcntl.LOCK_EX)
        changed = sorted(name for name, data in wanted.items() if not is_held(package / name, data))
        for name in changed:
            write(package / name, wanted[name])
        # All are written before the first is waited for: a journal takes them in one go, where each by itself would cost a flush of the disk.
        for name in changed:
            sync(unfinished(package / name))
        for name in changed:
            unfinished(package / name).replace(package / name)
        stale = sorted(path.name for path in package.iterdir() if path.name not in wanted and path.name != "__pycache__" and not path.is_dir())
        for name in stale:
            (package / name).unlink()
        os.fsync(folder)
    finally:
        os.close(folder)
    return changed + stale


def version_of(wanted):
    """Return a name for just these files."""
    told = hashlib.sha256()
    for name, data in sorted(wanted.items()):
        told.update(f"{name} {len(data)} ".encode() + data)
    return told.hexdigest()[:32]


def remove(folder):
    """Remove a folder with all in it, as far as that goes."""
    import shutil  # noqa: PLC0415 - it brings every way to compress, and there is seldom anything to remove

    shutil.rmtree(folder, ignore_errors=True)


def keep_compiled_in_memory(package, version):
    """Let Python keep what it compiles of the tools below /run: compiled once for all runs of a boot, and never half written by a power cut.

    What other versions left goes away. It is no fault where nothing can be kept: then each call compiles anew.
    """
    link, place = package / "__pycache__", COMPILED / version
    if MEMORY in package.parents:
        return
    try:
        for one in (COMPILED, place):
            one.mkdir(mode=0o700, exist_ok=True)
            seen = one.lstat()
            # What runs as root is read from here.
            if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid() or seen.st_mode & 0o022:
                if link.is_symlink():
                    link.unlink()
                return
        for other in COMPILED.iterdir():
            if other != place:
                remove(other)
        if link.is_symlink() and os.readlink(link) == str(place):
            return
        if link.is_dir() and not link.is_symlink():
            remove(link)
        link.unlink(missing_ok=True)
        link.symlink_to(place)
    except OSError:
        return


def main(told):
    """Lay down; return why not as an exit code, 0 where the tools are whole."""
    package = Path(told["folder"], "controlplane_target")
    wanted = {name: text.encode() for name, text in told["files"].items()}
    folders = {os.path.dirname(name) for name in wanted}
    named = [os.path.basename(name) for name in wanted]
    if any(folder and not folder.isidentifier() for folder in folders) or any(not name[:-3].isidentifier() or name[-3:] != ".py" for name in named):
        print("a file name is no plain name of a Python module. Nothing was changed.", file=sys.stderr)
        return 4
    try:
        for folder in sorted(folders):
            lay_down(package / folder, {os.path.basename(name): data for name, data in wanted.items() if os.path.dirname(name) == folder})
        keep_compiled_in_memory(package, version_of(wanted))
    except OSError as error:
        print(
            f"the tools in {package} may be incomplete: {error}. No lease was taken. Make room or mend the disk, and run this again.", file=sys.stderr
        )
        return 1
    return 0


def become(package):
    """Run the package as Python runs a folder; this program's arguments are its own."""
    program = package / "__main__.py"
    sys.argv[0] = str(package)
    sys.path.insert(0, str(package))
    exec(compile(program.read_bytes(), str(program), "exec"), {"__name__": "__main__", "__file__": str(program)})  # noqa: S102 - just laid down


if "told" in globals():
    if code := main(globals()["told"]):
        sys.exit(code)
    become(Path(globals()["told"]["folder"], "controlplane_target"))
