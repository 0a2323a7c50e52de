"""Clean networks of a victim's architecture: some attacks optimise their trigger on one, and an oracle returns one."""

from dataclasses import dataclass, field

from torch import nn

from bench.cell.loaded import LoadedVictim
from bench.plan.recipes import recipe
from bench.toolbox.training import train


@dataclass(frozen=True)
class CleanNetworks:
    """Trains networks of the victim's architecture on its clean training images, each when it is first asked for."""

    victim: LoadedVictim
    _trained: dict[int, nn.Module] = field(default_factory=dict, repr=False)

    def __call__(self, share: float) -> nn.Module:
        """A network trained by the victim's recipe, cut to ``share`` of its epochs in (0, 1], but to at least one.

        It is in eval mode and must not be changed: whoever asks for the same number of epochs gets the same network.
        """
        victim, full = self.victim, recipe(self.victim.stage.recipe)
        epochs = max(1, round(share * full.epochs))
        if epochs not in self._trained:
            model = victim.workshop.build(victim.stage, "surrogate")
            train(
                model,
                victim.train,
                full.model_copy(update={"epochs": epochs}),
                victim.workshop.generator(victim.stage.key, "surrogate training"),
                crop=victim.dataset.crop,
                flip=victim.dataset.flip,
            )
            self._trained[epochs] = model.requires_grad_(False)
        return self._trained[epochs]
