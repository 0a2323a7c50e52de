"""IBD-PSC: the class of a triggered input stays the same when the network's last layers are amplified.

Hou, Feng, Hua, Luo, Zhang, Li, "IBD-PSC: Input-level Backdoor Detection via Parameter-oriented Scaling Consistency",
ICML 2024, arXiv 2405.09786. Scale and shift of the last k batch normalisations are multiplied by omega, for n values of
k from the smallest at which the network misses more than a share xi of the reference images. The score is the mean
probability that these n networks give to the predicted class; it is flagged above T. Derived: layers are ordered by
when they run. Where no k reaches xi, or fewer than n networks are left, the rule begins anew with omega^2, omega^3, …;
in the end k is the one of most errors, and the networks that are left are used.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from bench.defenses._detection import INFERENCE_BATCH, Detector, quick_logits, unchecked_logits
from bench.plugin import Context, Guard, Known, LabelledImages, later
from bench.toolbox.networks import batch_norms, watching

if TYPE_CHECKING:
    from bench.plugin import Case

Network = Callable[[Tensor], Tensor]


class IBDPSC(Detector):
    """Detection by the consistency of predictions under amplified parameters."""

    name: ClassVar[str] = "ibd_psc"
    source: ClassVar[str] = "Hou et al., ICML 2024, arXiv 2405.09786"

    networks: int = Field(5, ge=1, description="n, number of amplified networks")
    factor: float = Field(1.5, gt=1, description="omega, what gamma and beta are multiplied with")
    error: float = Field(0.6, ge=0, lt=1, description="xi, share of the reference images that the first must get wrong")
    powers: int = Field(4, ge=1, description="highest power of omega that is tried if fewer than n networks are left")
    first: Literal["at", "behind"] = later(
        "at", description="the fewest layers amplified: the k at which xi is reached, or k + 1 as in the authors' code"
    )
    threshold: float = Field(0.9, gt=0, le=1, description="T, of the mean probability")

    def unsupported(self, case: "Case") -> str | None:
        if not scalable_layers(case.network):
            return "the network has no batch normalisation whose scale and shift could be amplified"
        return None

    @torch.no_grad()
    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        data = known.reference()
        last_first = run_order(model, data.example)[::-1]
        if not last_first:
            raise LookupError(f"{self.name} needs batch normalisation")
        best: tuple[bool, int] = (False, 0)  # whether xi is reached, and how many networks are left
        for power in range(1, self.powers + 1):
            errors = self._errors(model, last_first, self.factor**power, data)
            first = errors.index(max(errors)) + (1 if self.first == "at" else 2)
            first = min(first, len(last_first))
            left = range(first, min(first + self.networks, len(last_first) + 1))
            quality = (errors[-1] > self.error, len(left))
            if quality > best:
                best, factor, depths = quality, self.factor**power, left
            if best == (True, self.networks):
                break
            context.progress(power / self.powers)
        context.note("amplified", {"factor": factor, "layers": list(depths), "of": len(last_first)})
        networks = [amplified(model, last_first[:depth], factor) for depth in depths]

        def score(images: Tensor, predicted: Tensor) -> Tensor:
            return consistency(networks, images, predicted)

        return self.judging(model, score, self.threshold)

    def _errors(self, model: nn.Module, last_first: Sequence[str], factor: float, data: LabelledImages) -> list[float]:
        """The error rates on ``data`` with 1, 2, ... layers amplified, up to the first above the field ``error``.

        Logits that overflow are an error.
        """
        errors: list[float] = []
        for depth in range(1, len(last_first) + 1):
            network = amplified(model, last_first[:depth], factor)
            logits = torch.cat([unchecked_logits(network, part) for part in data.floats.split(INFERENCE_BATCH)])
            right = (logits.argmax(1) == data.labels) & logits.isfinite().all(1)
            errors.append(int((~right).sum()) / len(data))
            if errors[-1] > self.error:
                break
        return errors


def scalable_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The batch normalisation layers that have a scale and a shift, by name."""
    return {name: layer for name, layer in batch_norms(model).items() if layer.weight is not None}


def run_order(model: nn.Module, images: Tensor) -> list[str]:
    """The names of the ``scalable_layers`` that run on ``images`` (N, C, H, W), in the order of when each runs last."""
    names = {layer: name for name, layer in scalable_layers(model).items()}
    ran: dict[str, None] = {}

    def note(layer: nn.Module, _: Tensor) -> None:
        ran.pop(names[layer], None)
        ran[names[layer]] = None

    with watching(names, note), torch.no_grad():
        model(images[:1])
    return list(ran)


def amplified(model: nn.Module, layers: Sequence[str], factor: float) -> Network:
    """Images to logits of ``model`` with scale and shift of ``layers`` multiplied by ``factor``; it stays as it is."""
    parameters = dict(model.named_parameters())
    changed = {
        name: factor * parameters[name].detach() for layer in layers for name in (f"{layer}.weight", f"{layer}.bias")
    }

    def run(images: Tensor) -> Tensor:
        logits: Tensor = functional_call(model, changed, (images,))
        return logits

    return run


def consistency(networks: Sequence[Network], images: Tensor, predicted: Tensor) -> Tensor:
    """The mean probability (N,) that ``networks`` give to the classes ``predicted`` (N,) of ``images``."""
    of_class = [quick_logits(network, images).softmax(1).gather(1, predicted[:, None])[:, 0] for network in networks]
    return torch.stack(of_class).mean(0)
