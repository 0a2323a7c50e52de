"""Content keys, and the seeds derived from them.

A key says what a result depends on, and nothing else: plugins with version and parameters, the parents'
keys, seed and budgets. Devices, worker counts and paths do not belong to it.
"""

import hashlib
import json
from typing import Any

SCHEMA = 1  # raised when the meaning of a key changes; the golden tests then change with it


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text. Raises ValueError for NaN and infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def key(stage: str, **content: Any) -> str:
    """The key of a stage: 32 hexadecimal digits."""
    return hashlib.sha256(canonical({"schema": SCHEMA, "stage": stage, **content}).encode()).hexdigest()[:32]


def seed(of_key: str, purpose: str) -> int:
    """A seed in [0, 2^63) for one purpose within a stage."""
    digest = hashlib.sha256(f"{of_key}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
