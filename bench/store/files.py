"""Values to bytes and back, by the suffix of a file's name, and bytes to a disk and back. Reading runs no code."""

import contextlib
import errno
import io
import json
import os
import shutil
import stat
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

LARGEST_TEXT, LARGEST_TENSORS = 2**26, 2**33  # bytes of a file
LARGEST_HEADER = 2**22  # bytes: the names and shapes of 40,000 tensors; parsing 90 MB of them takes a minute
_AT_ONCE = 2**31 - 2**12  # the most bytes that one call of the system reads


def encode(name: str, content: Any) -> bytes:
    """The bytes of a file ``name`` that holds ``content``.

    ``content``: bytes, a text, tensors by name (for .safetensors), a training's state (for .pt), else a JSON value.
    Raises TypeError for a value that JSON does not have.
    """
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    if name.endswith(".safetensors"):
        from safetensors.torch import save

        return save({key: tensor.detach().cpu().clone().contiguous() for key, tensor in content.items()})
    if name.endswith(".pt"):
        import torch

        memory = io.BytesIO()
        torch.save(content, memory)
        return memory.getvalue()
    return json.dumps(content, indent=1, sort_keys=True).encode()


def tensors(content: bytes) -> "dict[str, torch.Tensor]":
    """The tensors of a safetensors file, on the CPU."""
    from safetensors.torch import load

    return load(_of_short_header(content))


def arrays(content: bytes) -> "dict[str, np.ndarray[Any, Any]]":
    """The tensors of a safetensors file as numpy arrays, without torch."""
    from safetensors.numpy import load

    return load(_of_short_header(content))


def state(content: bytes, device: "torch.device") -> dict[str, Any]:
    """What torch.save wrote, its tensors on ``device``.

    Raises UnpicklingError for anything but tensors and plain values: it could run code. Raises ValueError for an
    archive that is larger unpacked: torch never packs, and a small file could fill the memory.
    """
    import torch

    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > len(content):
            raise ValueError(f"unpacks to {unpacked} bytes, expected at most its own {len(content)}")
    # an optimizer's state does not fit into safetensors; with weights_only, reading it runs no code
    loaded: dict[str, Any] = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    return loaded


class NotPlain(ValueError):
    """What has the name of a stored file is a link, a pipe, a device or too large. The message goes on after a name."""


def read(path: str) -> bytes:
    """The bytes of a regular file. Follows no link and waits for no pipe. Raises NotPlain for anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EMLINK):  # a link; a socket; a link, on some systems
            raise NotPlain("is a link or no regular file") from None
        raise
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise NotPlain("is no regular file")
        if found.st_size > largest(path):
            raise NotPlain(f"has {found.st_size} bytes, expected at most {largest(path)}")
        content = b""
        if found.st_size < _AT_ONCE:
            content = os.read(descriptor, found.st_size + 1)  # a third of the time of a file object
            if len(content) == found.st_size:
                return content
        with open(descriptor, "rb", buffering=0, closefd=False) as file:  # of more than 2 GiB, or growing
            return content + file.read()
    finally:
        os.close(descriptor)


def beginning(path: Path, most: int) -> bytes | None:
    """The first ``most`` bytes of a file that is only for people, and may be anything; None where there is none.

    Follows no link and waits for no pipe.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return os.read(descriptor, most)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def largest(name: str) -> int:
    """The most bytes that a file of this name may have."""
    return LARGEST_TENSORS if name.endswith((".safetensors", ".pt")) else LARGEST_TEXT


def write(path: Path, content: bytes, *, durable: bool) -> None:
    """Write a file. ``durable``: return only when it is on the disk, and not in a cache on its way there."""
    with path.open("wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Make what was created or renamed in a directory survive a power cut, where the file system can."""
    with contextlib.suppress(OSError):  # some network file systems cannot, and do it in their own way
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove(path: Path) -> None:
    """Remove a file, or a directory with all that is in it. What cannot be removed stays; nothing is raised."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def names(folder: Path) -> list[str]:
    """What lies in a directory, without the hidden files that desktops leave; nothing where there is none."""
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]  # noqa: PTH208 - quicker
    except (FileNotFoundError, NotADirectoryError):
        return []


def size(path: str | Path) -> int:
    """Bytes of a file, or of all files in a directory. What disappears meanwhile, or may not be read, counts as 0."""
    try:
        with os.scandir(path) as entries:
            return sum(size(entry.path) if entry.is_dir(follow_symlinks=False) else _size(entry) for entry in entries)
    except NotADirectoryError:
        return Path(path).stat().st_size
    except (FileNotFoundError, PermissionError):
        return 0


def _of_short_header(content: bytes) -> bytes:
    """A safetensors file, which begins with the length of its header."""
    length = int.from_bytes(content[:8], "little")
    if length > LARGEST_HEADER:
        raise ValueError(f"has a header of {length} bytes, expected at most {LARGEST_HEADER}")
    return content


def _size(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except (FileNotFoundError, PermissionError):
        return 0
