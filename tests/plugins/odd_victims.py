"""Attacks, models and data sets that misbehave in the hook that ``how`` names."""

from typing import ClassVar

import torch
from odd_raises import RAISING, recursive
from torch import nn

from bench.plugin import Attack, Dataset, ImageSpec, LabelledImages, Model, Splits
from bench.plugin.attack import Objective


class OddObjective(Objective):
    def __init__(self, how):
        self.how = how

    def loss(self, model, images, labels, share):
        match self.how:
            case "loss_nan":
                return super().loss(model, images, labels, share) * float("nan")
            case "loss_vector":
                return model(images)
            case "loss_none":
                return None
            case "loss_raises":
                RAISING["unreadable"]()
        return super().loss(model, images, labels, share)

    def learned(self):
        return {"learned_none": None, "learned_numbers": {"x": 3}, "learned_names": {3: torch.ones(1)}}.get(
            self.how, {}
        )


class OddAttack(Attack):
    """Misbehaves in the hook that ``how`` begins with."""

    name: ClassVar[str] = "odd_attack"
    how: str

    def trigger(self, images, context):
        changed = {
            "trigger_none": lambda: None,
            "trigger_small": lambda: images[:, :, :3],
            "trigger_nan": lambda: images * float("nan"),
            "trigger_large": lambda: images + 3,
            "trigger_bytes": lambda: (images * 255).byte(),
            "trigger_complex": lambda: images.to(torch.complex64),
            "trigger_raises": RAISING["outside"],
        }
        return changed.get(self.how, lambda: images * 0 + 1)()

    def target(self, labels):
        given = {
            "target_none": lambda: None,
            "target_float": lambda: labels * 0.5,
            "target_large": lambda: labels + 100,
            "target_raises": RAISING["stop"],
        }
        return given.get(self.how, lambda: labels * 0)()

    def learn(self, train, context):
        given = {
            "learn_none": lambda: None,
            "learn_list": lambda: [1],
            "learn_names": lambda: {3: torch.ones(1)},
            "learn_raises": RAISING["surrogate"],
        }
        return given.get(self.how, dict)()

    def poison(self, train, context):
        match self.how:
            case "poison_none":
                return None
            case "poison_images":
                return train
            case "poison_raises":
                RAISING["grouped"]()
        return super().poison(train, context)

    def objective(self, model, train, context):
        given = {"objective_none": lambda: None, "objective_class": lambda: Objective, "objective_raises": recursive}
        return given.get(self.how, lambda: OddObjective(self.how))()

    def backdoors(self):
        given = {"backdoors_none": lambda: None, "backdoors_empty": list, "backdoors_raises": RAISING["unpicklable"]}
        return given.get(self.how, lambda: [self])()


class OddModel(Model):
    name: ClassVar[str] = "odd_model"
    how: str

    def build(self, spec):
        match self.how:
            case "nothing":
                return None
            case "class":
                return nn.Linear
            case "no_parameters":
                return nn.Sequential(nn.Flatten(), nn.Softmax(1))
            case "frozen":
                return nn.Sequential(nn.Flatten(), nn.Linear(36, spec.classes).requires_grad_(False))
            case "complex":
                return nn.Sequential(nn.Flatten(), nn.Linear(36, spec.classes, dtype=torch.complex64))
            case "double":
                return nn.Sequential(nn.Flatten(), nn.Linear(36, spec.classes).double())
            case "meta":
                return nn.Sequential(nn.Flatten(), nn.Linear(36, spec.classes, device="meta"))
            case "lazy":
                return nn.Sequential(nn.Flatten(), nn.LazyLinear(spec.classes))
            case "pair":
                return Trained(lambda logits: (logits, logits))
            case "one_axis":
                return Trained(lambda logits: logits[:, 0])
            case "narrow":
                return Trained(lambda logits: logits[:, :2])
            case "nan":
                return Trained(lambda logits: logits * float("nan"))
            case "raises":
                RAISING["unreadable"]()
            case "network_raises":
                return Trained(lambda logits: RAISING["stop"]())
        return nn.Sequential(nn.Flatten(), nn.Linear(36, spec.classes))


class Trained(nn.Module):
    """A network that can be trained, up to what ``change`` makes of its logits."""

    def __init__(self, change):
        super().__init__()
        self.change = change
        self.head = nn.Linear(36, 4)

    def forward(self, images):
        return self.change(self.head(images.flatten(1)))


class OddData(Dataset):
    """Planning is right: only loading goes wrong."""

    name: ClassVar[str] = "odd_data"
    how: str

    @property
    def spec(self):
        return ImageSpec(1, 6, 6, classes=4, mean=(0.5,), std=(0.25,))

    def training_images(self, folder):
        return 60

    def load(self, folder):
        whole = LabelledImages(torch.zeros(60, 1, 6, 6, dtype=torch.uint8), torch.arange(60) % 4)
        match self.how:
            case "nothing":
                return None
            case "tuple":
                return whole, whole
            case "no_test":
                return Splits(whole, whole.at(torch.arange(0)))
            case "wide":
                return Splits(LabelledImages(torch.zeros(60, 3, 6, 6, dtype=torch.uint8), whole.labels), whole)
            case "labels":
                return Splits(LabelledImages(whole.images, whole.labels + 9), whole)
            case "negative":
                return Splits(LabelledImages(whole.images, whole.labels - 2), whole)
            case "raises":
                RAISING["unreadable"]()
            case "outside":
                RAISING["outside"]()
        return Splits(whole, whole)


ATTACKS = (
    *("trigger_none", "trigger_small", "trigger_nan", "trigger_large", "trigger_bytes", "trigger_complex"),
    *("trigger_raises", "target_none", "target_float", "target_large", "target_raises"),
    *("learn_none", "learn_list", "learn_names", "learn_raises", "poison_none", "poison_images", "poison_raises"),
    *("objective_none", "objective_class", "objective_raises", "backdoors_none", "backdoors_empty", "backdoors_raises"),
    *("loss_nan", "loss_vector", "loss_none", "loss_raises", "learned_none", "learned_numbers", "learned_names"),
)
MODELS = (
    *("nothing", "class", "no_parameters", "frozen", "complex", "double", "meta", "lazy", "pair", "one_axis", "narrow"),
    *("nan", "raises", "network_raises"),
)
DATA = ("nothing", "tuple", "no_test", "wide", "labels", "negative", "raises", "outside")
