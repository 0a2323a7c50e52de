"""A clean network beside a victim: what some attacks search on, and what the oracle of retraining is."""

from dataclasses import dataclass, field

from torch import nn

from bench.cell.loaded import LoadedVictim
from bench.plan.recipes import recipe
from bench.toolbox.training import train


@dataclass(frozen=True)
class CleanNetworks:
    """Trains networks of the victim's architecture on its clean training images, when they are asked for."""

    victim: LoadedVictim
    _made: dict[int, nn.Module] = field(default_factory=dict, repr=False)

    def __call__(self, share: float) -> nn.Module:
        """A fresh network, trained by the victim's recipe, cut to ``share`` of its epochs (at least one).

        It is in eval mode and not to be changed: who asks for as many epochs again is given the same network.
        """
        victim, usual = self.victim, recipe(self.victim.stage.recipe)
        epochs = max(1, round(share * usual.epochs))
        if epochs not in self._made:
            model = victim.shop.build(victim.stage, "surrogate")
            train(
                model,
                victim.train,
                usual.model_copy(update={"epochs": epochs}),
                victim.shop.generator(victim.stage.key, "surrogate training"),
                crop=victim.dataset.crop,
                flip=victim.dataset.flip,
            )
            self._made[epochs] = model.requires_grad_(False)
        return self._made[epochs]
