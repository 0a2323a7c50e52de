"""Images in a file that is mapped into memory. What was read of it is given back, so that it does not pile up.

A page of a file stays resident once it was read. Of 10,000 images of 224x224 pixels that would be 1.5 GB in every
process. Whoever takes images by number takes them with ``rows``, which leaves them to the system's cache of files,
where all processes share them.
"""

import mmap
from typing import Any, cast
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

CHUNK = 2**24  # bytes that are resident at most while rows are copied

_maps: WeakValueDictionary[int, mmap.mmap] = WeakValueDictionary()  # by the address of a tensor's memory


def tensor_of(array: "np.memmap[Any, Any]") -> Tensor:
    """A mapped array as a tensor that shares its memory, known to the functions below.

    The array must be mapped copy-on-write (mode "c"), as nothing that is written to the tensor may reach the file. What
    is written to it is lost as soon as pages are given back.
    """
    tensor, base = torch.from_numpy(array), cast(object, array.base)
    if isinstance(base, mmap.mmap):
        _maps[tensor.untyped_storage().data_ptr()] = base
    return tensor


def in_a_file(images: Tensor) -> bool:
    """Whether ``images`` lie in a file that is mapped."""
    return _map_of(images) is not None


def give_back(images: Tensor) -> None:
    """Give back the pages of the file that ``images`` lie in; other images stay as they are."""
    if (mapping := _map_of(images)) is not None:
        mapping.madvise(mmap.MADV_DONTNEED)


def rows(images: Tensor, index: Tensor) -> Tensor:
    """A copy of the images that ``index`` selects: integers (K,) or a mask (N,) bool."""
    if _map_of(images) is None:
        return images[index]
    numbers = index.nonzero()[:, 0] if index.dtype == torch.bool else index
    numbers = torch.where(numbers < 0, numbers + len(images), numbers)
    taken = images.new_empty((len(numbers), *images.shape[1:]))
    for start in range(0, len(numbers), _chunk(images)):
        part = slice(start, start + _chunk(images))
        torch.index_select(images, 0, numbers[part], out=taken[part])  # a fifth of the time of images[...]
        give_back(images)
    return taken


def copied(images: Tensor, device: torch.device | None = None) -> Tensor:
    """A copy of ``images`` in memory, on their own device or another."""
    taken = torch.empty_like(images, device=device)
    for start in range(0, len(images), _chunk(images)):
        part = slice(start, start + _chunk(images))
        taken[part] = images[part]
        give_back(images)
    return taken


def moved(images: Tensor, device: torch.device) -> Tensor:
    """``images`` on a device: themselves if they are there already."""
    if _map_of(images) is None or images.device == device:
        return images.to(device)
    return copied(images, device)


def _map_of(images: Tensor) -> mmap.mmap | None:
    return _maps.get(images.untyped_storage().data_ptr())


def _chunk(images: Tensor) -> int:
    """How many images ``CHUNK`` bytes have."""
    return max(1, CHUNK // max(1, images[:1].nbytes))
