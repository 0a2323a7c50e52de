"""Labelled image tensors: stratified order, augmentation and batches."""

import torch

from bench.plugin.images import augment, batches, stratified_order


def test_every_beginning_of_the_order_is_stratified():
    labels = torch.tensor([0] * 80 + [1] * 20)
    order = stratified_order(labels, torch.Generator().manual_seed(0))
    assert sorted(order.tolist()) == list(range(100))
    for count in range(5, 100):
        assert abs(int((labels[order[:count]] == 1).sum()) - count / 5) <= 1


def test_crops_and_flips_are_those_of_a_loop():
    images = torch.rand(40, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    augmented = augment(images, torch.Generator().manual_seed(1), crop=2, flip=True)
    padded = torch.nn.functional.pad(images, (2,) * 4)
    flipped = 0
    for image, source in zip(augmented, padded, strict=True):
        windows = [source[:, r : r + 6, c : c + 6] for r in range(5) for c in range(5)]
        plain = any(torch.equal(image, window) for window in windows)
        mirrored = any(torch.equal(image, window.flip(-1)) for window in windows)
        assert plain or mirrored
        flipped += mirrored and not plain
    assert 8 <= flipped <= 32


def test_batches_show_every_image_once():
    seen = torch.cat(list(batches(10, 4, torch.Generator().manual_seed(0), torch.device("cpu"))))
    assert sorted(seen.tolist()) == list(range(10))
    assert [len(b) for b in batches(9, 4, torch.Generator(), torch.device("cpu"))] == [4, 4]  # a single one is left out
