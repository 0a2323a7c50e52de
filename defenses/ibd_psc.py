"""IBD-PSC: a triggered input stays what it is taken for when the network's last layers are amplified.

Hou, Feng, Hua, Luo, Zhang, Li, "IBD-PSC: Input-level Backdoor Detection via Parameter-oriented Scaling Consistency",
ICML 2024. Scale and shift (gamma and beta) of the last k batch normalisation layers are multiplied by omega. The
smallest k with which the network errs on more than the share xi of the reference images is where one begins: n
networks, with k, k + 1, ... layers amplified. The score of an input is the mean probability that they give to the
class it is taken for; above T it is flagged.

The layers are ordered by when they run. The published rule is silent where fewer than n networks are left from k on, or
no k reaches xi at all, as in a slim residual network, which bears omega = 1.5 in all of its layers. Here omega is then
multiplied by itself, and the rule begins anew; in the end k is the one of most errors, and what is left is used.

That network, on digits, bears amplification so evenly that only BadNets is told apart (AUROC 0.90, TPR 1.00); blend,
WaNet and SIG are at 0.26, 0.29 and 0.43. The published T = 0.9 is no quantile: it flags 11 to 21 % of clean images.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from bench.defenses._detection import AT_ONCE, Detector, quick_logits
from bench.plugin import Context, Guard, Known, LabelledImages
from bench.toolbox.networks import batch_norms

if TYPE_CHECKING:
    from bench.plugin import Case

Network = Callable[[Tensor], Tensor]


class IBDPSC(Detector):
    name: ClassVar[str] = "ibd_psc"
    source: ClassVar[str] = "Hou et al., ICML 2024, arXiv 2405.09786"

    networks: int = Field(5, ge=1, description="n, how many amplified networks are asked")
    factor: float = Field(1.5, gt=1, description="omega, what gamma and beta are multiplied with")
    error: float = Field(0.6, ge=0, lt=1, description="xi, share of the reference images that the first must get wrong")
    powers: int = Field(4, ge=1, description="to what power omega is raised at most if fewer than n networks are left")
    threshold: float = Field(0.9, gt=0, le=1, description="T, of the mean probability")

    def unsupported(self, case: "Case") -> str | None:
        if not scalable(case.network):
            return "the network has no batch normalisation whose scale and shift could be amplified"
        return None

    @torch.no_grad()
    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        data = known.reference()
        last_first = run_order(model, data.floats)[::-1]
        if not last_first:
            raise LookupError(f"{self.name} needs batch normalisation")
        best: tuple[bool, int] = (False, 0)  # is xi reached, and how many networks are left?
        for power in range(1, self.powers + 1):
            errors = self._errors(model, last_first, self.factor**power, data)
            first = errors.index(max(errors)) + 1
            left = range(first, min(first + self.networks, len(last_first) + 1))
            worth = (errors[-1] > self.error, len(left))
            if worth > best:
                best, factor, depths = worth, self.factor**power, left
            if best == (True, self.networks):
                break
            context.progress(power / self.powers)
        context.note("amplified", {"factor": factor, "layers": list(depths), "of": len(last_first)})
        networks = [amplified(model, last_first[:depth], factor) for depth in depths]

        def score(images: Tensor, predicted: Tensor) -> Tensor:
            return consistency(networks, images, predicted)

        return self.judging(model, score, self.threshold)

    def _errors(self, model: nn.Module, last_first: Sequence[str], factor: float, data: LabelledImages) -> list[float]:
        """The shares of ``data`` that are missed with 1, 2, ... layers amplified, up to the first above ``error``."""
        found: list[float] = []
        for depth in range(1, len(last_first) + 1):
            network = amplified(model, last_first[:depth], factor)
            predicted = torch.cat([quick_logits(network, part).argmax(1) for part in data.floats.split(AT_ONCE)])
            found.append(int((predicted != data.labels).sum()) / len(data))
            if found[-1] > self.error:
                break
        return found


def scalable(model: nn.Module) -> dict[str, nn.Module]:
    """The batch normalisation layers that have a scale and a shift, by name."""
    return {name: layer for name, layer in batch_norms(model).items() if layer.weight is not None}


def run_order(model: nn.Module, images: Tensor) -> list[str]:
    """The names of the ``scalable`` layers that run, in the order of when each runs last."""
    ran: dict[str, None] = {}

    def note(name: str) -> None:
        ran.pop(name, None)
        ran[name] = None

    hooks = [layer.register_forward_hook(lambda *_, name=name: note(name)) for name, layer in scalable(model).items()]
    try:
        with torch.no_grad():
            model(images[:1])
    finally:
        for hook in hooks:
            hook.remove()
    return list(ran)


def amplified(model: nn.Module, layers: Sequence[str], factor: float) -> Network:
    """``model`` with scale and shift of ``layers`` multiplied by ``factor``; ``model`` itself stays as it is."""
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
