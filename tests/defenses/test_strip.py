"""STRIP: the entropy under overlays, and the threshold from clean images."""

import numpy as np
import pytest
import scipy.special
import torch
from planted import Victim, context, judgement, row_task
from small_networks import random_convolutions
from torch import Tensor, nn

from bench.cell.metrics import auroc
from bench.defenses import strip
from bench.defenses.strip import STRIP
from bench.plugin import Known

TASK = row_task()

pytestmark = pytest.mark.usefixtures("full_precision")


def test_an_input_that_no_overlay_changes_is_flagged() -> None:
    reference, fresh = TASK.draw(300, seed=1), TASK.draw(300, seed=3)
    guard = STRIP(overlays=20).guard(Victim(TASK, speaks=1, shouts=60), Known(reference), context())
    clean, triggered = (judgement(guard(images)) for images in (fresh.floats, TASK.triggered(fresh.floats)))
    assert triggered[1].all()
    assert 0.01 < clean[1].float().mean() < 0.1
    assert auroc(clean[0], triggered[0]) == 1


def test_the_entropy_is_that_of_the_clipped_sum() -> None:
    model = random_convolutions(TASK.draw(60, seed=9).floats, TASK.classes).double()
    images, overlays = TASK.draw(4, seed=1).floats.double(), TASK.draw(7, seed=2).floats.double()
    entropies = strip.entropies(model, images, overlays, 0.7)
    for i, image in enumerate(images):
        for j, overlay in enumerate(overlays):
            logits = model(torch.tensor(np.clip(np.asarray(image) + 0.7 * np.asarray(overlay), 0, 1))[None])
            p = scipy.special.softmax(logits[0].detach().numpy())
            assert float(entropies[i, j]) == pytest.approx(-(p * np.log2(p)).sum(), abs=1e-4)


def test_the_threshold_leaves_out_an_image_laid_over_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def entropies(_: nn.Module, images: Tensor, overlays: Tensor, weight: float) -> Tensor:
        """The brightness of an image, and 0 over itself."""
        same = (images[:, None] == overlays[None]).flatten(2).all(2)
        return torch.where(same, 0.0, images.flatten(1).mean(1)[:, None])

    monkeypatch.setattr(strip, "entropies", entropies)
    reference, notes = TASK.draw(20, seed=1, noise=0.4), context()
    STRIP(overlays=5, false_rejection=0.1).guard(nn.Identity(), Known(reference), notes)
    means = reference.floats.flatten(1).mean(1).sort().values
    assert notes.diagnostics["threshold"] == pytest.approx(-float(means[2]))
