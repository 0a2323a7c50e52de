"""Content keys, and the seeds derived from them.

A key is a hash of what a result depends on, and of nothing else: plugins with their versions and parameters, the keys
of the stages that it is computed from, seed and budgets. It does not depend on devices, numbers of workers or paths.
"""

import hashlib
import json
from typing import Any

SCHEMA = 1  # raised when the meaning of keys changes, which changes all of them


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text. Raises ValueError for NaN and infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def key(stage: str, **content: Any) -> str:
    """The key of a stage of this sort with this content: 32 hexadecimal digits. Raises as ``canonical``."""
    return hashlib.sha256(canonical({"schema": SCHEMA, "stage": stage, **content}).encode()).hexdigest()[:32]


def natural_key(victim: str, benign: str) -> str:
    """The key of the benign network's answers to a victim's triggered images, from the keys of both victims."""
    return key("natural", victim=victim, benign=benign)


def seed(of_key: str, purpose: str) -> int:
    """The seed, in [0, 2^63), of one random generator of the stage with this key, named by its purpose."""
    digest = hashlib.sha256(f"{of_key}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
