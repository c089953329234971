"""A site with one release that has no fault, as files; git where a test asks for it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

DIGEST = "sha256:" + "a" * 64
PASSWORD = "Kanarienvogel77ab01"
Git = Callable[..., str]

FILES = {
    "site.yml": "name: shop\n",
    "hosts.yml": "all: {hosts: {web1: {ansible_host: 10.0.0.1}}}\n",
    "policy.yml": """\
version: 1
tiers: {boot-only: {data: boot}}
hosts:
  web1:
    tier: boot-only
    stacks: [{project: shop, dir: /opt/stacks/shop}, {project: shop-staging, dir: /opt/stacks/shop-staging}]
    boot_accepted: [{container: web, path: /data, reason: small and made anew from elsewhere}]
""",
    "gates.yml": "packs: {records: {checks: [D235]}}\n",
    "registers/loops.yml": "loops: {LOOP-SHOP: {title: the shop}}\n",
    "releases/shop.yml": """\
goal: the shop
images: {web: registry.example.org/shop/web}
environments:
  staging:
    hosts: [web1]
    project: shop-staging
    compose: [shop/compose.yml]
    contract: shop/.env.staging.example
    smoke: {files: [shop/smoke/test_web.py], urls: {web: "http://10.0.0.1:81"}}
  production:
    hosts: [web1]
    project: shop
    compose: [shop/compose.yml, shop/compose.production.yml]
    contract: shop/.env.production.example
    smoke: {files: [shop/smoke/test_web.py], urls: {web: "http://10.0.0.1:80"}}
promotion: {pack: records}
loop: LOOP-SHOP
""",
    "releases/shop/compose.yml": """\
name: shop-staging
services:
  web:
    restart: always
    healthcheck: {test: [CMD, probe]}
    environment: {PASSWORD: "${PASSWORD}"}
    volumes: ["${DATA}:/data"]
""",
    "releases/shop/compose.production.yml": "name: shop\nservices:\n  web: {container_name: web}\n",
    "releases/shop/.env.staging.example": "# DATA: path, required\nDATA=/srv/shop\n# PASSWORD: text, required, secret\nPASSWORD=\n",
    "releases/shop/.env.production.example": "# DATA: path, required\nDATA=/srv/shop-production\n# PASSWORD: text, required, secret\nPASSWORD=\n",
    "releases/shop/smoke/test_web.py": "def test_it():\n    pass\n",
    "releases/shop/manifests/one.yml": f"""\
# Built by the pipeline.
stack: shop
commit: 0123abc   # of the modules
built_at: "2026-01-01T00:00:00Z"
images:
  web: registry.example.org/shop/web@{DIGEST}
""",
    "releases/shop/.gitignore": ".env.*\n!.env.*.example\n",
}
REAL = {
    "releases/shop/.env.staging": f"DATA=/srv/shop\nPASSWORD={PASSWORD}\n",
    "releases/shop/.env.production": f"DATA=/srv/shop-production\nPASSWORD={PASSWORD}-2\n",
}


def write(site: Path, name: str, text: str) -> Path:
    path = site / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def make_site(site: Path) -> Path:
    """Write the site with its real environment files, and return its folder."""
    for name, text in FILES.items():
        write(site, name, text)
    for name, text in REAL.items():
        write(site, name, text).chmod(0o600)
    return site


def make_git(top: Path) -> Git:
    """Make a repository of a folder, with one commit of all that is in it, and return what runs git there."""

    def call(*words: str) -> str:
        named = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgSign=false", "-c", "init.defaultBranch=main"]
        done = subprocess.run(["git", *named, "-C", str(top), *words], capture_output=True, check=True, text=True)
        return done.stdout.strip()

    call("init", "-q")
    call("add", "-A")
    call("commit", "-qm", "first")
    return call


def commit(git: Git, message: str = "more") -> str:
    """Commit all that differs, and return the first twelve digits of its id."""
    git("add", "-A")
    git("commit", "-qm", message)
    return git("rev-parse", "HEAD")[:12]
