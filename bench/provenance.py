"""Where a result comes from: code version, commit, packages, device, command line."""

import hashlib
import json
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from bench import __version__

PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pandas", "cvxpy", "pydantic")


@cache
def packages() -> dict[str, str]:
    """Installed versions of the packages that results depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def commit() -> tuple[str | None, bool | None]:
    """The commit that this code was taken from and whether it was changed since; (None, None) where nothing says so.

    In a checkout git is asked; what was installed straight from a repository says so itself.
    """
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        call = ("git", "-C", str(here), *arguments)
        return subprocess.run(call, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        if git("ls-files", Path(__file__).name) != "":
            return git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no") != ""
    except (OSError, subprocess.SubprocessError):
        pass
    return _installed_from()


def _installed_from() -> tuple[str | None, bool | None]:
    """The commit in what an installer noted of a repository (PEP 610), unchanged by then."""
    try:
        noted = json.loads(distribution("defensebench").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None, None
    found = noted.get("vcs_info", {}).get("commit_id")
    return found, None if found is None else False


@cache
def host() -> str:
    """Eight digits that are the same for results of the same machine, and do not name it."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def now() -> str:
    """The time in UTC, to the second, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Maker:
    """Who makes a result: the command, and the worker that carries it out.

    ``command``: a line for a shell. ``device``: a name for a person; "" where nothing is computed. ``threads``: CPU
    threads. ``deterministic``: whether only algorithms are taken that give the same bits every time. ``compiled``:
    whether networks are compiled for training.
    """

    command: str = ""
    device: str = ""
    threads: int = 0
    deterministic: bool = False
    compiled: bool = False

    def facts(self) -> dict[str, Any]:
        """Where something comes from that this maker made."""
        head, dirty = commit()
        return {
            **asdict(self),
            "host": host(),
            "code_version": __version__,
            "commit": head,
            "dirty": dirty,
            "packages": packages(),
        }

    def columns(self) -> dict[str, Any]:
        """The same as a record has it."""
        facts = self.facts()
        return {**facts, "packages": json.dumps(facts["packages"])}


typed_command: ContextVar[str | None] = ContextVar(
    "typed_command", default=None
)  # set by the command line while a command runs


def current_command() -> str:
    """The ``bench …`` line that is being carried out; else the script or module that calls ``bench.run``."""
    path = Path(sys.argv[0] or "python")
    return typed_command.get() or f"bench.run(…) in {path.parent.name if path.name == '__main__.py' else path.name}"


def command_line(arguments: Sequence[str], home: str | None = None) -> str:
    """``bench`` with its arguments, for a shell; paths below ``home`` (default: the user's) begin with ~."""
    owner = str(Path.home()) if home is None else home
    return " ".join(["bench", *(_quoted(_hidden(part, owner)) for part in arguments)])


def _hidden(text: str, home: str) -> str:
    if len(home) < 2:  # a user without one
        return text
    return re.sub(rf"(?<![\w./~-]){re.escape(home.rstrip('/'))}(?=/|$|[,:])", "~", text)


def _quoted(text: str) -> str:
    head, slash, rest = text.partition("/")
    if head == "~" and slash:  # in quotes the shell would not see a home in it
        return "~/" + (shlex.quote(rest) if rest else "")
    return shlex.quote(text)
