"""What a defense is handed is what it declares: asking for more names the declaration that is missing."""

from typing import Any

from bench.plugin.defense import Defense
from bench.plugin.values import Known


def declared(known: Known, defense: Defense) -> Known:
    """``known`` for this defense. It raises LookupError where the defense asks for what it does not declare."""
    missing = {}
    if defense.knowledge == "none":
        missing["clean"] = 'knowledge: ClassVar[str] = "clean"'
    if defense.knowledge != "suspects":
        missing["suspects"] = 'knowledge: ClassVar[str] = "suspects"'
    if not defense.wants_pairs:
        missing["originals"] = "a property wants_pairs that is true"
    given = _Declared(known.clean, known.suspects, known.originals)
    object.__setattr__(given, "_missing", missing)
    return given


class _Declared(Known):
    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if value is None and (needed := super().__getattribute__("_missing").get(name)):
            raise LookupError(f"known.{name} is asked for and not declared: expected {needed} in the class")
        return value

    def __repr__(self) -> str:
        return repr(Known(**{name: value for name, value in vars(self).items() if name != "_missing"}))
