"""How the names in a state dict may be spelled otherwise than in our networks: prefixes, and other implementations."""

import re
from collections.abc import Iterable, Iterator

# what wrappers put before every name: DataParallel, torch.compile, Lightning, a Sequential that resizes first
PREFIXES = re.compile(r"(?:module|_orig_mod|model|net|network|\d+)\.")
# regular expressions of names in other implementations, and what timm's networks or ours have in their place
IMPLEMENTATIONS: tuple[dict[str, str], ...] = (
    {},
    # ResNets of kuangliu/pytorch-cifar
    {r"\bshortcut\.": "downsample.", r"^linear\.": "fc."},
    # PreActResNet-18 of kuangliu/pytorch-cifar and of BackdoorBench
    {r"\bbn(?=\d)": "norm", r"\bshortcut\.0\.": "shortcut.", r"^linear\.": "fc."},
    # the same with a normalisation before the last layer
    {r"^bn\.": "norm.", r"\bbn(?=\d)": "norm", r"\bshortcut\.0\.": "shortcut.", r"^linear\.": "fc."},
)


def spellings(names: Iterable[str]) -> Iterator[dict[str, str]]:
    """The ways in which a file's names may be meant: each a dictionary from a name in the file to one of a network's.

    The plainest comes first: the names as they are. A prefix is taken off only if every name has it.
    """
    for plain in _without_prefixes({name: name for name in names}):
        seen = []
        for implementation in IMPLEMENTATIONS:
            meant = {name: _renamed(short, implementation) for name, short in plain.items()}
            if meant not in seen and len(set(meant.values())) == len(meant):
                seen.append(meant)
                yield meant


def _without_prefixes(names: dict[str, str]) -> Iterator[dict[str, str]]:
    yield names
    found = [PREFIXES.match(short) for short in names.values()]
    prefixes = {match[0] if match else "" for match in found}
    if len(prefixes) == 1 and (prefix := prefixes.pop()):
        yield from _without_prefixes({name: short.removeprefix(prefix) for name, short in names.items()})


def _renamed(name: str, implementation: dict[str, str]) -> str:
    for pattern, other in implementation.items():
        name = re.sub(pattern, other, name)
    return name
