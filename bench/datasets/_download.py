"""Getting published files: resumable downloads checked by MD5, and unpacking that ends whole or not at all.

Who calls these holds the data set's lock: two processes never write to one file.
"""

import errno
import hashlib
import shutil
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from http.client import HTTPException
from lzma import LZMAError
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from bench.plugin import RequestError

FULL = (errno.ENOSPC, errno.EDQUOT)
TRIES = 4
TIMEOUT = 60  # seconds without a byte
CHUNK = 1 << 20

T = TypeVar("T")


def fetch(url: str, file: Path, md5: str) -> None:
    """Let ``file`` hold what ``url`` gives. What a broken download left in ``file.part`` is continued, not repeated.

    Raises RequestError for a wrong MD5 (of a file that is there already too), OSError where the network or the disk
    fails; a full disk leaves no part behind.
    """
    if file.is_file():
        _verify(file, md5, "delete it to have it downloaded again")
        return
    part = file.with_name(f"{file.name}.part")
    for attempt in range(1, TRIES + 1):
        try:
            _continue(url, part)
            break
        except (OSError, HTTPException) as error:
            if getattr(error, "errno", None) in FULL:
                part.unlink(missing_ok=True)
                raise
            if attempt == TRIES or not _passing(error):
                said = error.reason if type(error) is URLError else str(error) or type(error).__name__
                raise OSError(f"{url}: {said}") from error
    try:
        _verify(part, md5, "it was removed; the next start downloads it again")
    except RequestError:
        part.unlink()
        raise
    part.replace(file)


def unpack(archive: Path, places: Mapping[str, Path]) -> None:
    """Put members of a zip or tar archive, files or directories by their path in it, to their places.

    The archive is unpacked beside the first place and its members appear by one rename each, so that a killed process
    leaves none half-written. Raises RequestError for a damaged archive, one that lacks a member, or one that holds a
    path or link that leads out of it.
    """
    first = next(iter(places.values()))
    draft = first.with_name(f".{first.name}.half")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        _extract(archive, draft)
        for member, place in places.items():
            if not (draft / member).exists():
                raise RequestError(f"{archive}: expected it to hold {member}; this is another archive")
            place.parent.mkdir(parents=True, exist_ok=True)
            (draft / member).replace(place)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, RuntimeError) as error:
        raise RequestError(f"{archive}: damaged or unsafe archive: {' '.join(str(error).split())}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def md5_of(file: Path) -> str:
    """The MD5 sum of a file, as its publisher gives it; not for safety against people who forge one."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def shown(items: Iterable[T], what: str, total: int | None) -> Iterable[T]:
    """The items, with a progress bar on a terminal while they pass."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(items, what, total=total, console=console, transient=True, disable=not sys.stderr.isatty())


def _continue(url: str, part: Path) -> None:
    """Append to ``part`` what is missing of ``url``; start over if the server cannot continue."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "defensebench", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        response = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if have and error.code == 416:  # no byte is missing; the MD5 says whether they are the right ones
            return
        raise
    with response:
        have = have if response.status == 206 else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab" if have else "wb") as stream:
            chunks = iter(lambda: response.read(CHUNK), b"")
            for chunk in shown(chunks, f"downloading {part.stem}", -(-(total - have) // CHUNK) if total else None):
                stream.write(chunk)
                have += len(chunk)
    if total is not None and have < total:
        raise ConnectionError(f"{url}: the connection ended after {have} of {total} bytes")


def _passing(error: Exception) -> bool:
    """Whether another try may help: not where the server answered no, nor where this machine refuses."""
    if isinstance(error, HTTPError):
        return error.code >= 500
    return getattr(error, "errno", None) not in (errno.EACCES, errno.EPERM, errno.EROFS)


def _verify(file: Path, md5: str, remedy: str) -> None:
    found = md5_of(file)
    if found != md5:
        raise RequestError(f"{file}: damaged: its MD5 is {found}, expected {md5}; {remedy}")


def _extract(archive: Path, target: Path) -> None:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            _refuse(archive, packed.namelist())
            packed.extractall(target)  # writes a link's target as the text of a plain file: none is ever made
        return
    with tarfile.open(archive) as packed_tar:
        _refuse(archive, packed_tar.getnames())
        packed_tar.extractall(target, filter="data")  # refuses links that lead out, devices and the like


def _refuse(archive: Path, names: Iterable[str]) -> None:
    """RequestError for a member whose path leads out of the archive; the libraries would quietly bend it."""
    for name in names:
        windows = PureWindowsPath(name)
        if PurePosixPath(name).is_absolute() or windows.drive or windows.root or ".." in windows.parts:
            raise RequestError(f"{archive}: unsafe archive: it holds the path {name!r}, which leads out of it")
