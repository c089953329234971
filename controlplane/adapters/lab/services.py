"""The service image: real Redis and PostgreSQL, and an S3-compatible store, imported without a registry.

It is one image for all services; each container says by its command which one it is.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from controlplane.domain.errors import RunFailedError

from .apt_sources import debian_mirror
from .golden import Say, apt_of_the_host, building, in_tree
from .home import LabHome, MachineFiles
from .programs import run
from .recipe import (
    CONTENT,
    NEWER_SERVICE_IMAGE,
    NEWER_SERVICE_PACKAGES,
    NEWER_SUITE,
    S3_STORE,
    SERVICE_IMAGE,
    SERVICE_PACKAGES,
    SUITE,
    services_digest,
)
from .ssh import ssh_run

# PostgreSQL's just-in-time compiler alone is a third of the image, and no lab query needs it; Perl serves only the
# packages' own scripts, which have run.
TRIMMED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/i18n",
    "usr/share/perl",
    "usr/lib/*/perl",
    "usr/lib/*/libLLVM-*",
    "usr/lib/*/libz3.so*",
    "usr/lib/*/gconv",
    "usr/lib/postgresql/*/lib/llvmjit*",
    "usr/lib/postgresql/*/lib/bitcode",
    "var/log/*",
    "var/cache/debconf/*",
)


def service_image(home: LabHome, say: Say, *, newer: bool = False) -> Path:
    """Return the cached tar of the service image, built where it isn't there (about a minute); the newer one has no object store."""
    family, suite, packages = ("newer-services", NEWER_SUITE, NEWER_SERVICE_PACKAGES) if newer else ("services", SUITE, SERVICE_PACKAGES)
    image = home.cache / f"{family}-{services_digest(TRIMMED, newer=newer)}.tar"
    with home.locked(family):
        if image.exists():
            return image
        with building(home, family) as (scratch, log):
            say(f"building the service image (Redis, PostgreSQL{' of a newer release' if newer else ', S3-compatible store'})")
            tree = scratch / "tree"
            mirror = debian_mirror()
            run(["debootstrap", "--variant=minbase", suite, tree, mirror], log=log)
            (tree / "etc/apt/sources.list").write_text(f"deb {mirror} {suite} main\n")
            (tree / "etc/postgresql-common").mkdir()
            (tree / "etc/postgresql-common/createcluster.conf").write_text("create_main_cluster = false\n")
            with apt_of_the_host(tree):
                in_tree(tree, ["apt-get", "-q", "update"], log)
                install = ["apt-get", "-q", "-y", "-o", "Dpkg::Options::=--force-confold", "install"]
                in_tree(tree, [*install, *packages], log)
            if not newer:
                run(["npm", "install", "--prefix", tree / "opt/s3rver", "--omit=dev", "--no-bin-links", S3_STORE], log=log)
            for script in sorted((CONTENT / "services").iterdir()):
                shutil.copy(script, tree / "usr/local/bin" / script.name)
                (tree / "usr/local/bin" / script.name).chmod(0o755)
            for pattern in TRIMMED:
                for junk in tree.glob(pattern):
                    shutil.rmtree(junk) if junk.is_dir() and not junk.is_symlink() else junk.unlink()
            partial = scratch / "services.tar"
            run(["tar", "-C", tree, "--numeric-owner", "-cf", partial, "."], log=log)
            partial.rename(image)
        for older in home.cache.glob(f"{family}-*.tar"):
            if older != image:
                older.unlink()
    return image


def ensure_services(home: LabHome, files: MachineFiles, say: Say, *, newer: bool = False) -> None:
    """Import the service image into the machine's Docker where it hasn't got it; a machine without Docker running is left."""
    name = NEWER_SERVICE_IMAGE if newer else SERVICE_IMAGE
    if ssh_run(home, files.name, ["docker", "info", "-f", "{{.ID}}"]).returncode != 0:
        say(f"{files.name}: Docker doesn't run, so the service image was not imported")
        return
    wanted = services_digest(TRIMMED, newer=newer)
    label = ["docker", "image", "inspect", "-f", '{{index .Config.Labels "lab.digest"}}', name]
    if ssh_run(home, files.name, label).stdout.strip() == wanted:
        return
    image = service_image(home, say, newer=newer)
    say(f"importing the service image into {files.name}")
    argv = ["docker", "import", "--change", f"LABEL lab.digest={wanted}", "-", name]
    done = ssh_run(home, files.name, argv, stdin=image)
    if done.returncode != 0:
        raise RunFailedError(f"lab: {files.name} did not take the service image: {done.stderr.strip()}")
