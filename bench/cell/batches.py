"""How many images pass a network at once where only its answers are wanted."""

from bench.plugin.images import images_at_once
from bench.plugin.values import ImageSpec


def evaluation_batch(spec: ImageSpec) -> int:
    """250 images of at most 64x64 pixels; fewer of larger ones, whose activations would take gigabytes."""
    return images_at_once(250, spec.height, spec.width)
