"""Input-aware: a generator draws another trigger for every image; one image's trigger does nothing on another.

Nguyen and Tran, "Input-Aware Dynamic Backdoor Attack", NeurIPS 2020. The attacker controls training. A mask network
says where the trigger is: trained first, for masks that are small and differ between images, then fixed. A generator
says what is there; it learns together with the classifier. In every batch some images get their own trigger and the
target's label; as many ("cross") get another image's trigger and keep their label. The ratio of two images' distance
to that of their patterns, or masks, is minimised too, so that triggers differ as their images do.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.attacks._generator import Generator, drawn, recalled, stored
from bench.plugin import Attack, AttackContext, LabelledImages, Objective, Poisoned, batches, stamp
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
    density: float = Field(0.032, ge=0, le=1, description="value of the mask, in a pixel, that costs nothing")
    mask_epochs: int = Field(25, ge=1, description="epochs of the mask network, before the classifier's")
    learning_rate: float = Field(0.01, gt=0, description="of mask network and generator, with Adam")
    batch_size: int = Field(128, ge=2, description="of the mask network's training")
    width: int = Field(16, ge=4, multiple_of=4, description="channels of generator and mask network at half size")

    def learn(self, train: LabelledImages, context: AttackContext) -> Mapping[str, Tensor]:
        """The mask network."""
        network = drawn(1, self.width, context)
        optimizer = _adam(network, self.learning_rate)
        for _ in range(self.mask_epochs):
            for index in batches(len(train), self.batch_size, context.generator, context.device):
                images = train.at(index).floats
                with autocast(context.device):
                    masks = as_mask(network(images))
                size = F.relu(masks - self.density).mean()
                loss = self.norm * size + self.diversity * sameness(images, images.roll(1, 0), masks, masks.roll(1, 0))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
        return stored(network, "mask.")

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        generator = recalled(context.learned, "pattern.", context.spec.channels, context.spec.channels, self.width)
        pattern = as_pattern(generator(images))
        return torch.lerp(images, pattern, as_mask(self.mask_network(context)(images)))

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        """The set as it is: triggers change while the classifier is trained, and are put on in ``objective``."""
        nothing = train.labels[:0]
        return stamp(train, nothing, train.at(nothing).floats, nothing)

    def objective(self, model: nn.Module, train: LabelledImages, context: AttackContext) -> Objective:
        return InputAwareObjective(self, context)

    def mask_network(self, context: AttackContext) -> Generator:
        return recalled(context.learned, "mask.", context.spec.channels, 1, self.width)


class InputAwareObjective(Objective):
    """The cross-entropy of a batch with triggered and cross images, plus the diversity loss of the patterns.

    The backward pass of the classifier's training reaches the generator too; its step follows in the next call.
    """

    def __init__(self, attack: InputAware, context: AttackContext) -> None:
        self.attack = attack
        self.masks = attack.mask_network(context)
        self.generator = drawn(context.spec.channels, attack.width, context)
        self.optimizer = _adam(self.generator, attack.learning_rate)

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, share: float) -> Tensor:
        self._step(share)
        mixed, mixed_labels, sameness_of_patterns = self.batch(images, labels)
        return F.cross_entropy(model(mixed), mixed_labels) + self.attack.diversity * sameness_of_patterns

    def batch(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Triggered images, cross images, the rest (N, C, H, W); their labels (N,); the diversity loss."""
        count = max(1, round(self.attack.poisoning_rate * len(images)))
        both = min(count + round(self.attack.cross_ratio * count), len(images))
        # the batch is in a random order: its neighbour is any other image
        sources = torch.cat((images[:count], images.roll(1, 0)[:both]))
        patterns, masks = as_pattern(self.generator(sources)), as_mask(self.masks(sources))
        own, others = patterns[:count], patterns[count:]
        worn = torch.cat((own, others[count:])), torch.cat((masks[:count], masks[2 * count :]))
        mixed = torch.cat((torch.lerp(images[:both], *worn), images[both:]))
        mixed_labels = torch.cat((self.attack.target(labels[:count]), labels[count:]))
        return mixed, mixed_labels, sameness(sources[:count], sources[count : 2 * count], own, others[:count])

    def learned(self) -> Mapping[str, Tensor]:
        return stored(self.generator, "pattern.")

    def _step(self, share: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.attack.learning_rate * (1 - share)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def as_pattern(maps: Tensor) -> Tensor:
    """The generator's maps (N, C, H, W) as colours in [0, 1]."""
    return maps.float().tanh() / 2 + 0.5


def as_mask(maps: Tensor) -> Tensor:
    """The mask network's maps (N, 1, H, W) as masks in [0, 1], most pixels near one end."""
    return (20 * as_pattern(maps) - 10).tanh() / 2 + 0.5


def sameness(images: Tensor, others: Tensor, maps: Tensor, other_maps: Tensor) -> Tensor:
    """Mean of the images' distances, in units of those of their patterns or masks; all (N, ?, H, W)."""
    distances = ((a - b).square().flatten(1).mean(1) for a, b in ((images, others), (maps, other_maps)))
    far, wide = (torch.sqrt(squares + 1e-8) for squares in distances)
    return (far / (wide + 1e-3)).mean()


def _adam(network: nn.Module, rate: float) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.9))
