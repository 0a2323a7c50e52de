"""A reconstructed trigger as a picture for a person, small enough for a record."""

import base64
import io

import torch
from torch import Tensor

from bench.plugin.values import Context
from bench.records import notes
from bench.records.note_types import MOST_PICTURES

LARGEST = 64  # pixels a side of the images in a picture


def note_trigger_picture(context: Context, target: int, kind: str, image: Tensor, triggered: Tensor) -> None:
    """Put a picture of a trigger that a defense has reconstructed into the record: ``bench scan`` shows it.

    target: the class that it leads to. kind: how it changes images, such as "patch". image, triggered: an image
    (C, H, W) in [0, 1] without and with it. Of more than ``MOST_PICTURES`` pictures only the first are kept. Raises
    ValueError for images of another shape or of two.
    """
    if image.ndim != 3 or image.shape != triggered.shape or len(image) not in (1, 3):
        shapes = f"{tuple(image.shape)} and {tuple(triggered.shape)}"
        raise ValueError(f"note 'trigger_pictures': images {shapes}, expected (C, H, W) with C 1 or 3, twice")
    kept = list(context.diagnostics.get("trigger_pictures", []))
    if len(kept) < MOST_PICTURES:
        picture = {"target": int(target), "kind": kind, "png": base64.b64encode(_png(image, triggered)).decode()}
        context.diagnostics["trigger_pictures"] = notes.typed("trigger_pictures", [*kept, picture])


def _png(image: Tensor, triggered: Tensor) -> bytes:
    """Both, and the change on grey, stretched to the whole range; side by side."""
    from PIL import Image

    image, triggered = (values.detach().float().cpu().nan_to_num().clamp(0, 1) for values in (image, triggered))
    change = triggered - image
    change = 0.5 + 0.5 * change / change.abs().max().clamp(min=1e-6)
    strip = (torch.cat((image, triggered, change), 2) * 255).round().byte().expand(3, -1, -1).permute(1, 2, 0)
    picture = Image.fromarray(strip.contiguous().numpy())
    height, width = image.shape[1:]
    if (side := max(height, width)) > LARGEST:
        sides = [max(1, round(pixels * LARGEST / side)) for pixels in (3 * width, height)]
        picture = picture.resize((sides[0], sides[1]), Image.Resampling.BOX)
    written = io.BytesIO()
    picture.save(written, "PNG", optimize=True)
    return written.getvalue()
