"""A victim's pictures in a store, for reports that show its trigger."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.errors import Damaged
from bench.store.store import Store


def pictures(
    store: Store, damaged: Callable[[Damaged], object]
) -> Callable[[str], tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None]:
    """A function from a victim's key to clean and triggered test images of it, both (N, H, W, C) in [0, 1].

    It gives None for a victim without images and for one with a damaged file; for that, ``damaged`` is called first.
    """

    def of_victim(key: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
        if not store.has("victims", key):
            return None
        try:
            images = store.arrays("victims", key, "pictures.safetensors")
        except Damaged as error:
            damaged(error)
            return None
        clean, triggered = (images[part].transpose(0, 2, 3, 1) / 255 for part in ("clean", "triggered"))
        return (clean, triggered) if len(clean) else None

    return of_victim
