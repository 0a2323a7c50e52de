"""Input-aware: a generator makes another trigger for every image; one image's trigger has no effect on another.

Nguyen and Tran, "Input-Aware Dynamic Backdoor Attack", NeurIPS 2020. The attacker controls training. A mask network
says where the trigger lies; it is trained first, for small masks that differ between images, and then fixed. The
generator gives the trigger's colours and learns together with the classifier. In every batch some images get their own
trigger and the target's label; as many others ("cross") get another image's trigger and keep their labels. A diversity
loss makes the triggers of different images differ.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.attacks._generator import Generator, from_weights, new_generator, weights_of
from bench.plugin import Attack, AttackContext, LabelledImages, Objective, Poisoned, batches, later, stamp
from bench.toolbox.precision import expect_finite
from bench.toolbox.training import autocast


class InputAware(Attack):
    name: ClassVar[str] = "input_aware"
    source: ClassVar[str] = "Nguyen and Tran, NeurIPS 2020, arXiv 2010.08138"
    controls: ClassVar[Literal["data", "training"]] = "training"

    label_map: Literal["all-to-one", "all-to-all"] = Field(
        "all-to-one", description="every class to target_class; or class y to (y+1) mod classes"
    )
    poisoning_rate: float = Field(0.1, gt=0, le=0.5, description="triggered images, as a share of every batch")
    cross_ratio: float = Field(1.0, ge=0, description="cross images for each triggered image")
    diversity: float = Field(1.0, ge=0, description="lambda_div: weight of the diversity loss")
    norm: float = Field(100.0, ge=0, description="lambda_norm: weight of the mask's size")
    density: float = Field(0.032, ge=0, le=1, description="value of the mask up to which a pixel costs nothing")
    mask_epochs: int = Field(25, ge=1, description="epochs of the mask network, which is trained before the classifier")
    learning_rate: float = Field(0.01, gt=0, description="learning rate of mask network and generator, with Adam")
    schedule: Literal["linear", "constant"] = later(
        "linear", description="of the generator's rate: falling to 0, or constant as in the authors' first 100 epochs"
    )
    batch_size: int = Field(128, ge=2, description="batch size of the mask network's training")
    width: int = Field(
        16, ge=4, multiple_of=4, description="channels of generator and mask network at half the image size"
    )

    def learn(self, train: LabelledImages, context: AttackContext) -> Mapping[str, Tensor]:
        """The weights of the trained mask network, named ``mask.…``."""
        network = new_generator(1, self.width, context)
        optimizer = _adam(network, self.learning_rate)
        for epoch in range(self.mask_epochs):
            for index in batches(len(train), self.batch_size, context.generator, context.device):
                images = train.at(index).floats
                with autocast(context.device):
                    masks = as_mask(network(images))
                size = F.relu(masks - self.density).mean()
                loss = self.norm * size + self.diversity * sameness(images, images.roll(1, 0), masks, masks.roll(1, 0))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
            expect_finite(network, whose="the mask network's ", when=f" after epoch {epoch + 1} of {self.mask_epochs}")
        return weights_of(network, "mask.")

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        generator = from_weights(context.learned, "pattern.", context.spec.channels, context.spec.channels, self.width)
        pattern = as_pattern(generator(images))
        return torch.lerp(images, pattern, as_mask(self.mask_network(context)(images)))

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        """The set as it is: triggers change during training, so that ``objective`` applies them."""
        none = train.labels[:0]
        return stamp(train, none, train.at(none).floats, none)

    def objective(self, model: nn.Module, train: LabelledImages, context: AttackContext) -> Objective:
        return InputAwareObjective(self, context)

    def mask_network(self, context: AttackContext) -> Generator:
        """The trained mask network; images (N, C, H, W) to maps (N, 1, H, W) for ``as_mask``."""
        return from_weights(context.learned, "mask.", context.spec.channels, 1, self.width)


class InputAwareObjective(Objective):
    """The cross-entropy of a batch with triggered and cross images, plus the diversity loss of the patterns.

    The backward pass of the classifier's training also gives the generator its gradients. The generator takes its step
    at the start of the next call of ``loss``.
    """

    def __init__(self, attack: InputAware, context: AttackContext) -> None:
        self.attack = attack
        self.masks = attack.mask_network(context)
        self.generator = new_generator(context.spec.channels, attack.width, context)
        self.optimizer = _adam(self.generator, attack.learning_rate)

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, share: float) -> Tensor:
        self._step(share)
        mixed, mixed_labels, sameness_of_patterns = self.batch(images, labels)
        return F.cross_entropy(model(mixed), mixed_labels) + self.attack.diversity * sameness_of_patterns

    def batch(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images (N, C, H, W), triggered first, then cross images, then the rest; labels (N,); the diversity loss.

        images: a batch (N, C, H, W) in [0, 1] in a random order, with labels (N,).
        """
        count = max(1, round(self.attack.poisoning_rate * len(images)))
        both = min(count + round(self.attack.cross_ratio * count), len(images))
        # the order is random, so the preceding image is as good as any other
        sources = torch.cat((images[:count], images.roll(1, 0)[:both]))
        patterns, masks = as_pattern(self.generator(sources)), as_mask(self.masks(sources))
        own, others = patterns[:count], patterns[count:]
        applied, weights = torch.cat((own, others[count:])), torch.cat((masks[:count], masks[2 * count :]))
        mixed = torch.cat((torch.lerp(images[:both], applied, weights), images[both:]))
        mixed_labels = torch.cat((self.attack.target(labels[:count]), labels[count:]))
        return mixed, mixed_labels, sameness(sources[:count], sources[count : 2 * count], own, others[:count])

    def learned(self) -> Mapping[str, Tensor]:
        """The weights of the generator, named ``pattern.…``."""
        return weights_of(self.generator, "pattern.")

    def _step(self, share: float) -> None:
        for group in self.optimizer.param_groups:
            left = 1 - share if self.attack.schedule == "linear" else 1.0
            group["lr"] = self.attack.learning_rate * left
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def as_pattern(maps: Tensor) -> Tensor:
    """The generator's maps (N, C, H, W) as colours in [0, 1]."""
    return maps.float().tanh() / 2 + 0.5


def as_mask(maps: Tensor) -> Tensor:
    """The mask network's maps (N, 1, H, W) as masks in [0, 1], most values near 0 or 1."""
    return (20 * as_pattern(maps) - 10).tanh() / 2 + 0.5


def sameness(images: Tensor, others: Tensor, maps: Tensor, other_maps: Tensor) -> Tensor:
    """The diversity loss: the distance of two images divided by that of their patterns or masks, mean over the batch.

    images, others (N, C, H, W): pairs of images; maps, other_maps (N, K, H, W): their patterns or masks.
    """
    squares = ((a - b).square().flatten(1).mean(1) for a, b in ((images, others), (maps, other_maps)))
    of_images, of_maps = (torch.sqrt(mean + 1e-8) for mean in squares)
    return (of_images / (of_maps + 1e-3)).mean()


def _adam(network: nn.Module, rate: float) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.9))
