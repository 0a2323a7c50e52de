"""The splits of a data set with a validation part of its training images in place of the test images."""

from pathlib import Path

import torch
from torch import Tensor

from bench.cell.scratch import Scratch
from bench.plan import evaluation
from bench.plugin import mapped
from bench.plugin.dataset import Dataset, fixed_order
from bench.plugin.values import LabelledImages, Splits

AT_ONCE = 500  # images that are copied from file to file at once


def validation_splits(dataset: Dataset, folder: Path, device: torch.device) -> Splits:
    """What is left to train on, and as ``test`` the validation part, both on ``device``. No test image is in them.

    With ``train_size`` n the first n of the data set's fixed order are left, else all but the validation part, in the
    data set's own order. Raises RequestError as ``Dataset.splits`` does, and if there are too few training images.
    """
    train = evaluation.whole(dataset).splits(folder).train
    order = fixed_order(train.labels)
    size = evaluation.left_to_train(dataset, len(train))
    kept = order[:size] if dataset.train_size else order[:size].sort().values
    held_out = order[len(order) - evaluation.validation_size(len(train)) :]
    return Splits(_taken(train, kept, device), _taken(train, held_out, device))


def _taken(data: LabelledImages, index: Tensor, device: torch.device) -> LabelledImages:
    """A copy on ``device`` of the images that ``index`` (K,) selects. Those from a file go to a file, not to memory."""
    if not mapped.in_a_file(data.images):
        return data.at(index).to(device)
    room = Scratch((len(index), *data.images.shape[1:]), device)
    for numbers in torch.arange(len(index)).split(AT_ONCE):
        room.put(numbers, mapped.rows(data.images, index[numbers]).to(device))
    return LabelledImages(room.images(), data.labels[index].to(device))
