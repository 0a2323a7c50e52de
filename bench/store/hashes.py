"""The hashes of a stage's files, in a list that has a hash itself: no bit of any file changes unnoticed.

{"content": {"files": {"record.json": sha256, …}, "stage": "cells/abcd…"}, "sha256": of the content}
"""

import hashlib
import json
from collections.abc import Mapping

from bench.store import paths

NAME = "hashes.json"
_HEAD, _MIDDLE, _TAIL = b'{"content": ', b', "sha256": "', b'"}\n'
_AFTER = len(_MIDDLE) + 64 + len(_TAIL)


def digest(content: bytes) -> str:
    """The SHA-256 of ``content``: 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def seal(stage: str, files: Mapping[str, bytes]) -> bytes:
    """The content of ``hashes.json``. ``stage``: section and key, such as "cells/abcd"; ``files``: by name."""
    hashes = {name: digest(content) for name, content in files.items()}
    return _seal(json.dumps({"files": hashes, "stage": stage}, sort_keys=True).encode())


def unseal(manifest: bytes, stage: str) -> dict[str, str]:
    """The hashes by file name. Raises ValueError, saying why, for bytes that ``seal`` did not give for the stage."""
    content = manifest[len(_HEAD) : -_AFTER]
    if manifest != _seal(content):
        raise ValueError("is not what was written")
    try:
        listed = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("is no list of hashes") from None
    hashes = listed.get("files") if isinstance(listed, dict) else None
    if not isinstance(hashes, dict) or not all(isinstance(value, str) for value in hashes.values()):
        raise ValueError("is no list of hashes")
    if listed.get("stage") != stage:
        raise ValueError(f"is that of {ascii(listed.get('stage'))[1:60]}".rstrip("'"))
    if wrong := [name for name in hashes if name == NAME or not paths.is_plain(name)]:
        raise ValueError(f"names a file {ascii(wrong[0])[:60]}, expected a plain name")
    return hashes


def _seal(content: bytes) -> bytes:
    return _HEAD + content + _MIDDLE + digest(content).encode() + _TAIL
