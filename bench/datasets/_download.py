"""Published files: resumable downloads checked by MD5, and archives that are unpacked completely or not at all.

Callers hold the data set's lock, so two processes never write to one file.
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

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
TRIES = 4
TIMEOUT = 60  # seconds without a byte
CHUNK = 1 << 20

T = TypeVar("T")


def fetch(url: str, file: Path, md5: str) -> None:
    """Download ``url`` to ``file``, unless it exists. ``file.part``, left by an interrupted download, is continued.

    Raises RequestError for a wrong MD5, also of an existing file, and OSError if the network or the disk fails. A full
    disk leaves no ``file.part`` behind.
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
            if getattr(error, "errno", None) in DISK_FULL:
                part.unlink(missing_ok=True)
                raise
            if attempt == TRIES or not _is_transient(error):
                reason = error.reason if type(error) is URLError else str(error) or type(error).__name__
                raise OSError(f"{url}: {reason}") from error
    try:
        _verify(part, md5, "it was removed; the next start downloads it again")
    except RequestError:
        part.unlink()
        raise
    part.replace(file)


def unpack(archive: Path, targets: Mapping[str, Path]) -> None:
    """Unpack a zip or tar archive: move members, files or directories given by their path in it, to their targets.

    The archive is unpacked beside the first target, and each member is moved by one rename, so a killed process leaves
    no member half-written. Raises RequestError for a damaged archive, a missing member, or a path or link that leads
    out of the archive.
    """
    first = next(iter(targets.values()))
    draft = first.with_name(f".{first.name}.half")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        _extract(archive, draft)
        for member, target in targets.items():
            if not (draft / member).exists():
                raise RequestError(f"{archive}: expected it to hold {member}; this is another archive")
            target.parent.mkdir(parents=True, exist_ok=True)
            (draft / member).replace(target)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, RuntimeError) as error:
        raise RequestError(f"{archive}: damaged or unsafe archive: {' '.join(str(error).split())}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def md5_of(file: Path) -> str:
    """The MD5 sum of a file, to compare with its publisher's; it does not protect against forgery."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def with_progress(items: Iterable[T], label: str, total: int | None) -> Iterable[T]:
    """The items, with a progress bar while they are consumed if standard error is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(items, label, total=total, console=console, transient=True, disable=not sys.stderr.isatty())


def _continue(url: str, part: Path) -> None:
    """Append the missing bytes of ``url`` to ``part``; start over if the server cannot send a part of a file."""
    size = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "defensebench", **({"Range": f"bytes={size}-"} if size else {})}
    try:
        response = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if size and error.code == 416:  # nothing is missing; the MD5 tells whether it is the right file
            return
        raise
    with response:
        size = size if response.status == 206 else 0
        length = response.headers.get("Content-Length")
        total = size + int(length) if length else None
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab" if size else "wb") as stream:
            chunks = iter(lambda: response.read(CHUNK), b"")
            for chunk in with_progress(
                chunks, f"downloading {part.stem}", -(-(total - size) // CHUNK) if total else None
            ):
                stream.write(chunk)
                size += len(chunk)
    if total is not None and size < total:
        raise ConnectionError(f"{url}: the connection ended after {size} of {total} bytes")


def _is_transient(error: Exception) -> bool:
    """Whether another try may help: not if the server refuses, nor if this machine does."""
    if isinstance(error, HTTPError):
        return error.code >= 500
    return getattr(error, "errno", None) not in (errno.EACCES, errno.EPERM, errno.EROFS)


def _verify(file: Path, md5: str, remedy: str) -> None:
    actual = md5_of(file)
    if actual != md5:
        raise RequestError(f"{file}: damaged: its MD5 is {actual}, expected {md5}; {remedy}")


def _extract(archive: Path, target: Path) -> None:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            _refuse_unsafe_paths(archive, packed.namelist())
            packed.extractall(target)  # never makes links: it writes a link's target into a plain file
        return
    with tarfile.open(archive) as packed_tar:
        _refuse_unsafe_paths(archive, packed_tar.getnames())
        packed_tar.extractall(target, filter="data")  # refuses links that lead out, devices and the like


def _refuse_unsafe_paths(archive: Path, names: Iterable[str]) -> None:
    """Raise RequestError for a path that leads out of the archive; the libraries would silently change it."""
    for name in names:
        windows = PureWindowsPath(name)
        if PurePosixPath(name).is_absolute() or windows.drive or windows.root or ".." in windows.parts:
            raise RequestError(f"{archive}: unsafe archive: it holds the path {name!r}, which leads out of it")
