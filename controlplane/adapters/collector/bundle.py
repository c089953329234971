"""Join the collector into one command line for a POSIX shell; runs on the controller and is no part of the payload.

The modules travel as compressed source and are made from it in memory, each when it is imported: nothing is written on the host. The longest single
argument that Linux takes is 128 KiB, and Ansible's become wraps ours once more, so the command is refused well below that.
"""

from __future__ import annotations

import ast
import base64
import json
import shlex
import zlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

# In the order in which they import one another.
MODULES = (
    "supervise tools redact mounts places identity block signatures fstab units engine docker docker_config inside redis_config "
    "redis postgres beneath fingerprint state store surfaces sources tmp releases packages network machines main"
).split()
LONGEST = 100_000
_LOADER = (
    "import base64,zlib,json,sys\n"
    "from _frozen_importlib import ModuleSpec\n"
    "D=lambda text:json.loads(zlib.decompress(base64.b64decode(text)))\n"
    "S={'collector':'',**{'collector.'+N:T for N,T in D(P)}}\n"
    "class L:\n"
    " find_spec=staticmethod(lambda N,*_:ModuleSpec(N,L,is_package=N=='collector') if N in S else None)\n"
    " create_module=staticmethod(lambda _:None)\n"
    " exec_module=staticmethod(lambda m:exec(compile(S[m.__name__],m.__name__.replace('.','/')+'.py','exec'),m.__dict__))\n"
    "sys.meta_path.insert(0,L)\n"
    "from collector.main import main\n"
    "main(D(sys.argv[1]),sys.stdin.buffer if sys.argv[2:] else None)\n"
)
_FIND = 'P=$(command -v python3 || command -v /usr/libexec/platform-python) || { echo "no python3 on this host" >&2; exit 127; }; exec "$P"'


def _without_docstrings(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


@cache
def _modules() -> list[tuple[str, str]]:
    folder = files(__package__)
    return [(name, _without_docstrings(folder.joinpath(f"{name}.py").read_text("utf-8"))) for name in MODULES]


@cache
def program() -> str:
    """Return what follows the interpreter: the options and the collector itself, quoted, with a space at its end."""
    packed = base64.b64encode(zlib.compress(json.dumps(_modules(), ensure_ascii=False).encode(), 9)).decode()
    return f" -I -S -c {shlex.quote(f'P={packed!r}{chr(10)}{_LOADER}')} "


def arguments(asked: Mapping[str, Any], interpreter: str | None = None, *, is_told: bool = False) -> tuple[str, str]:
    """Return what stands before and after `program()`; `interpreter` is a path on the host, None the first python3 there.

    With `is_told` the collector waits for one line on its standard input.

    Raises ValueError when more is asked than one command line holds.
    """
    question = base64.b64encode(zlib.compress(json.dumps(asked, sort_keys=True).encode(), 9)).decode()
    if len(program()) + len(question) > LONGEST:
        raise ValueError(f"too much was asked of one host: the command would take more than {LONGEST} bytes")
    return _FIND if interpreter is None else f"exec {shlex.quote(interpreter)}", f"{question} -" if is_told else question


def command(asked: Mapping[str, Any], interpreter: str | None = None) -> str:
    """Return the whole shell command that prints the evidence."""
    python, question = arguments(asked, interpreter)
    return f"{python}{program()}{question}"
