"""Patches: the squares that a network cuts its images into."""

from math import gcd

from bench.plugin import ImageSpec, RequestError


def check_patches(name: str, size: int, spec: ImageSpec) -> None:
    """RequestError of the network ``name``, with a size near by, unless patches of ``size`` pixels tile the images."""
    common = gcd(spec.height, spec.width)
    if common % size:
        near = min((n for n in range(1, common + 1) if common % n == 0), key=lambda n: abs(n - size))
        raise RequestError(
            f"{name}: patch_size={size}: expected a divisor of both sides of the images, {spec.height}x{spec.width} "
            f"pixels, such as {near}"
        )


def transformer_patches(spec: ImageSpec) -> int:
    """The side of a vision transformer's patches in pixels: 64 patches or so at 32x32 and 64x64, 196 at 224x224."""
    side = max(spec.height, spec.width)
    return next(size for smallest, size in ((160, 16), (64, 8), (24, 4), (0, 2)) if side >= smallest)
