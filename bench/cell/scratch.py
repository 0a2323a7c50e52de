"""Images that are made part by part: kept in memory, or beyond a size in a file that has no name.

The file lies in the system's directory for temporary files, which the environment variable TMPDIR names. It is gone
with the process that made it, however that ends.
"""

import tempfile
from typing import IO

import numpy as np
import torch
from torch import Tensor

from bench.plugin import mapped

LARGE = 2**25  # bytes: the test images of CIFAR-10 stay in memory


class Scratch:
    """Room for images (N, C, H, W) uint8, which are put in by number. On a GPU it is always in memory."""

    def __init__(self, shape: tuple[int, ...], device: torch.device) -> None:
        self.shape = shape
        size = int(np.prod(shape))
        self._file: IO[bytes] | None = None
        self._images = torch.empty(0, dtype=torch.uint8)
        if device.type == "cpu" and size > LARGE:
            self._file = tempfile.TemporaryFile(prefix="defensebench-")  # noqa: SIM115  # lives as long as this object
        else:
            self._images = torch.empty(shape, dtype=torch.uint8, device=device)

    def put(self, index: Tensor, images: Tensor) -> None:
        """Put ``images`` (K, C, H, W) uint8 where ``index`` (K,) says. Raises OSError if the disk is full."""
        if self._file is None:
            self._images[index] = images
            return
        try:
            for number, image in zip(index.tolist(), images.contiguous().numpy(), strict=True):
                self._file.seek(number * image.nbytes)
                self._file.write(image.data)
            self._file.flush()  # written and not mapped: a full disk kills the process that writes to a map
        except OSError as error:
            needed = f"{int(np.prod(self.shape)) / 2**20:.0f} MiB of triggered images"
            raise OSError(
                error.errno, f"{error.strerror}: {needed} do not fit into {tempfile.gettempdir()}; set TMPDIR"
            ) from error

    def images(self) -> Tensor:
        """All images, which have been put in: those of a file mapped into memory, for ``mapped.rows``."""
        if self._file is None:
            return self._images
        return mapped.tensor_of(np.memmap(self._file, np.uint8, "c", shape=self.shape))
