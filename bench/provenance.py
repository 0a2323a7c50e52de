"""Where a result comes from: version and commit of the code, packages, device, command."""

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
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


@cache
def commit() -> tuple[str | None, bool | None]:
    """The commit of this code, and whether tracked files were changed since; (None, None) if it is not known.

    In a checkout git says it. For a package that was installed from a repository, its installer noted it.
    """
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        call = ("git", "--no-optional-locks", "-C", str(here), *arguments)  # a killed run would leave the lock behind
        return subprocess.run(call, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        if git("ls-files", Path(__file__).name) != "":
            return git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no") != ""
    except (OSError, subprocess.SubprocessError):
        pass
    return _installed_from()


def _installed_from() -> tuple[str | None, bool | None]:
    """The commit that the installer noted (PEP 610); the code was unchanged when it was installed."""
    try:
        noted = json.loads(distribution("defensebench").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None, None
    head = noted.get("vcs_info", {}).get("commit_id")
    return head, None if head is None else False


@cache
def host() -> str:
    """Eight hexadecimal digits that stand for this machine without naming it."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def now() -> str:
    """The time in UTC, to the second, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Maker:
    """What a result is made with: the command and the worker that carries it out.

    command: a line for a shell. device: its full name; "" if nothing is computed. threads: CPU threads; 0 if nothing
    is computed. deterministic: whether only algorithms are used that give the same bits every time. compiled: whether
    networks are compiled for training.
    """

    command: str = ""
    device: str = ""
    threads: int = 0
    deterministic: bool = False
    compiled: bool = False

    def facts(self) -> dict[str, Any]:
        """The provenance of a result that this maker makes, by name: for a victim's ``stage.json``."""
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
        """The same as the columns of a record."""
        facts = self.facts()
        return {**facts, "packages": json.dumps(facts["packages"])}


typed_command: ContextVar[str | None] = ContextVar(
    "typed_command", default=None
)  # set by the command line while a command runs


def current_command() -> str:
    """The ``bench …`` line that runs now, or else the script or module that calls ``bench.run``."""
    path = Path(sys.argv[0] or "python")
    return typed_command.get() or f"bench.run(…) in {path.parent.name if path.name == '__main__.py' else path.name}"


def command_line(arguments: Sequence[str], home: str | None = None) -> str:
    """``bench`` with its arguments as a line for a shell. Paths below ``home``, by default the user's, begin with ~."""
    home = str(Path.home()) if home is None else home
    return " ".join(["bench", *(_quoted(_hidden(part, home)) for part in arguments)])


def _hidden(text: str, home: str) -> str:
    if len(home) < 2:  # the user has no home directory
        return text
    return re.sub(rf"(?<![\w./~-]){re.escape(home.rstrip('/'))}(?=/|$|[,:])", "~", text)


def _quoted(text: str) -> str:
    head, slash, rest = text.partition("/")
    if head == "~" and slash:  # within quotes a shell would not expand ~
        return "~/" + (shlex.quote(rest) if rest else "")
    return shlex.quote(text)
