"""Patches: the squares that a network divides its images into."""

from math import gcd

from bench.plugin import ImageSpec, RequestError


def check_patches(name: str, size: int, spec: ImageSpec) -> None:
    """Raise RequestError for the network ``name`` unless patches of ``size`` pixels tile the images."""
    common = gcd(spec.height, spec.width)
    if common % size:
        nearest = min((n for n in range(1, common + 1) if common % n == 0), key=lambda n: abs(n - size))
        raise RequestError(
            f"{name}: patch_size={size}: expected a divisor of both sides of the images, {spec.height}x{spec.width} "
            f"pixels, such as {nearest}"
        )


def transformer_patches(spec: ImageSpec) -> int:
    """The side in pixels of a vision transformer's patches: 64 patches at 32x32 and 64x64, 196 at 224x224."""
    side = max(spec.height, spec.width)
    return next(size for smallest, size in ((160, 16), (64, 8), (24, 4), (0, 2)) if side >= smallest)
