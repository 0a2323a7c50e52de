"""What several methods say together: the rule is fixed, and no threshold of it was chosen on any network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

RULE = "a class is taken for a backdoor's target if more than half of the methods that gave an answer name it"


@dataclass(frozen=True)
class Verdict:
    """The classes that ``RULE`` takes for targets, which methods name each class, and how many gave an answer."""

    classes: list[int]
    named: dict[int, list[str]]
    answered: int

    @property
    def suspicious(self) -> bool:
        return bool(self.classes)

    def told(self, names: Sequence[str]) -> str:
        """The verdict in one line. names: of all classes."""
        if not self.answered:
            return "no verdict: no method gave an answer"
        of = f"of {self.answered} method{'s' * (self.answered != 1)}"
        named = "; ".join(f"class {names[label]} by {', '.join(methods)}" for label, methods in self.named.items())
        if self.suspicious:
            return f"SUSPICIOUS: {named} ({of})"
        if named:
            return f"nothing found by the rule, but look at this: {named} ({of})"
        return f"nothing found: no class is named by any {of}"


def combined(flagged: Mapping[str, Sequence[int]]) -> Verdict:
    """The verdict on the classes that each method names, by the method's label. Without methods nothing is named."""
    named: dict[int, list[str]] = {}
    for method, classes in flagged.items():
        for label in classes:
            named.setdefault(label, []).append(method)
    named = dict(sorted(named.items()))
    return Verdict([label for label, methods in named.items() if 2 * len(methods) > len(flagged)], named, len(flagged))
