"""Weights of a file put into a network that was built for them, and taken out again under the file's own names."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.checkpoint.spellings import spellings
from bench.errors import RequestError
from bench.records.texts import printable

COUNTER = "num_batches_tracked"  # of batch normalisation, which older files lack and no answer depends on
_NAMED = 3  # names in a message


@dataclass(frozen=True)
class Layout:
    """How a file names and stores a network's tensors: by the file's name, the network's name and the file's type.

    part: the beginning of the names of that part of the network which the file has. normalises: whether the file has a
    mean and a std beside all that is learned, as victims of this project do.
    """

    names: Mapping[str, str]
    dtypes: Mapping[str, torch.dtype]
    part: str
    normalises: bool

    def written(self, network: nn.Module) -> dict[str, Tensor]:
        """The tensors of a network as the file has them: its names, in its types.

        Raises RequestError, with the first names, for a network that has other tensors than the one that was loaded.
        """
        own, known = network.state_dict(), set(self.names.values())
        new = [name for name in own if name.startswith(self.part) and name not in known and not name.endswith(COUNTER)]
        gone = [name for name in self.names.values() if name not in own]
        if new or gone:
            changes = [f"{len(some)} {what}, {_first(some)}" for some, what in ((new, "new"), (gone, "gone")) if some]
            raise RequestError(f"has other tensors than the checkpoint: {'; '.join(changes)}")
        return {name: own[inner].detach().cpu().to(self.dtypes[name]) for name, inner in self.names.items()}


def match(network: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[dict[str, str], str]:
    """The network's name of each tensor of a file, and the beginning that all of them have in the network.

    The names are matched as they are, without the prefixes of wrappers, and as other implementations spell them; with
    those of the whole network, or of the part that has all of its parameters. Raises RequestError with the first
    missing and unknown names.
    """
    own = network.state_dict()
    best: tuple[int, dict[str, str], str] | None = None
    for meant in spellings(tensors):
        for part in _parts(network):
            missing, unknown = _differences(own, meant, part)
            if best is None or len(missing) + len(unknown) < best[0]:
                best = len(missing) + len(unknown), meant, part
    if best is None:
        raise RequestError("holds no tensors")
    _, meant, part = best
    missing, unknown = _differences(own, meant, part)
    if missing or unknown:
        lacking = [f"{len(missing)} missing, {_first(missing)}"] * bool(missing)
        surplus = [f"{len(unknown)} that it does not have, {_first(unknown)}"] * bool(unknown)
        raise RequestError("; ".join([*lacking, *surplus]))
    return {name: part + inner for name, inner in meant.items()}, part


def load(network: nn.Module, tensors: Mapping[str, Tensor], classes: int) -> Layout:
    """Put ``tensors`` into ``network``, which was built for ``classes`` classes, and say how they are named in it.

    Raises RequestError as ``match``, and with a shape that differs.
    """
    own = network.state_dict()
    names, part = match(network, tensors)
    _check_shapes(own, tensors, names, classes)
    network.load_state_dict({**own, **{inner: tensors[name] for name, inner in names.items()}})
    innermost = max(_parts(network), key=len)
    outside = {name.rpartition(".")[2] for name in own if not name.startswith(innermost)}
    dtypes = {name: value.dtype for name, value in tensors.items()}
    return Layout(names, dtypes, part, normalises=not part and outside == {"mean", "std"})


def _parts(network: nn.Module) -> list[str]:
    """The network and those modules in it that have all of its parameters, as prefixes of names: "", "net."."""
    parameters = [name for name, _ in network.named_parameters()]
    modules = [f"{name}." * bool(name) for name, _ in network.named_modules()]
    return [prefix for prefix in modules if all(name.startswith(prefix) for name in parameters)]


def _differences(own: Mapping[str, Tensor], meant: Mapping[str, str], part: str) -> tuple[list[str], list[str]]:
    """The names that this part of the network has and the file lacks, and those of the file that are unknown in it."""
    expected = {name.removeprefix(part) for name in own if name.startswith(part)}
    given = set(meant.values())
    missing = [name.removeprefix(part) for name in own if name.removeprefix(part) in expected - given]
    missing = [name for name in missing if not name.endswith(COUNTER)]
    return missing, [name for name, inner in meant.items() if inner not in expected]


def _check_shapes(
    own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], names: Mapping[str, str], classes: int
) -> None:
    wrong = {name: inner for name, inner in names.items() if tensors[name].shape != own[inner].shape}
    if not wrong:
        return
    name, inner = next(iter(wrong.items()))
    given, expected = tuple(tensors[name].shape), tuple(own[inner].shape)
    rows = {(*tensors[one].shape[:1], *own[other].shape[:1]) for one, other in wrong.items()}
    if len(rows) == 1 and expected[:1] == (classes,) and given[1:] == expected[1:]:
        raise RequestError(f"{printable(name, 80)} has {given[0]} classes, expected {classes}")
    raise RequestError(
        f"{printable(name, 80)} is {given}, expected {expected}" + f" (and {len(wrong) - 1} others)" * (len(wrong) > 1)
    )


def _first(names: list[str]) -> str:
    shown = ", ".join(printable(name, 60) for name in names[:_NAMED])
    return shown + ", …" * (len(names) > _NAMED)
