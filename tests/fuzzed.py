"""Requests as nobody should write them: selections and study files that are odd, huge, deep, or almost right.

All come out of one ``random.Random``, so that a seed says which they were.
"""

import random
from collections.abc import Callable

NAMES = {
    "datasets": ["digits", "digits[train_size=200]", "image_folder", "gtsrb", "cifar10"],
    "models": ["resnet18[width=4]", "vit", "timm", "vgg16_bn", "resnet50"],
    "attacks": ["none", "badnets", "wanet", "sig", "ctrl", "adaptive_blend", "input_aware", "l0inv"],
    "defenses": ["none", "tac", "bna", "fire", "clp", "fine_pruning", "strip", "nad"],
    "recipes": ["quick", "paper", "fast", "adamw"],
}
PARAMETERS = [
    "poisoning_rate", "target_class", "targets", "label_map", "size", "beta", "u", "shape", "strength", "memory",
    "train_size", "width", "epochs", "learning_rate", "opacities", "trigger_models", "name", "path", "variant", "step",
    "batch_size", "schedule", "weight_decay", "frequencies", "classes", "magnitude", "patch", "bound", "xi", "alpha",
]  # fmt: skip
TEXTS = ["x", "ä", "名", "\u202e", "\x1b[31m", "\ud800", "\0", "\n", "\t", "\x7f", " ", "a+b", "+", "%", "=cmd", "'",
         '"', "../..", "/dev/zero", "{", "}", '{"a":', "\\", "None", "nan", "NaN", "inf", "-inf", "Infinity",
         "-Infinity", "true", "False", "none", "all", "*", "?", "**", "a*b*c*d", "²", "٣", "1_000", "0x10",
         "1,5"]  # fmt: skip
NUMBERS = ["0", "1", "-1", "2", "10", "0.1", "1e999", "-1e999", "1e308", "1e-400", "9" * 25, "9" * 400, "9" * 5000,
           "-" + "9" * 5000, "1/0", "0/0", "1/3", "9/0.1", f"{'9' * 400}/1", f"1/{'9' * 400}",
           f"{'9' * 400}/{'9' * 400}", "0." + "3" * 5000, "1e" + "9" * 5000, "1" + "0" * 4290, "1.0", "00",
           "-0", "-0.0", "1e5", "5%", ".5", "5."]  # fmt: skip


SEEDS = ["0-1000000000", "-9-9", "0-9," * 900 + "0", "0-9999,0", ",".join(map(str, range(10_001)))]


def selection(draw: random.Random, kind: str) -> str:
    """A selection for the option ``kind``."""
    parts = [_part(draw, kind) for _ in range(draw.choice([1, 1, 1, 1, 2, 3]))]
    text = draw.choice([",", ",", ", ", ",,", ";"] if draw.random() < 0.1 else [","]).join(parts)
    return _damaged(draw, text) if draw.random() < 0.3 else text


def _part(draw: random.Random, kind: str) -> str:
    name = (
        draw.choice(NAMES[kind]) if draw.random() < 0.85 else draw.choice(TEXTS) * draw.choice([1, 1, 2, 300, 30_000])
    )
    if draw.random() < 0.25 or "[" in name:
        return name
    count = draw.choice([1, 1, 1, 2, 3, 12] if draw.random() < 0.2 else [1, 1, 2])
    return f"{name}[{','.join(_assignment(draw) for _ in range(count))}]"


def _assignment(draw: random.Random) -> str:
    name = draw.choice(PARAMETERS) if draw.random() < 0.9 else draw.choice(TEXTS) * draw.choice([1, 1, 5000])
    count = draw.choice([1] * 12 + [2, 2, 3, 200])
    return f"{name}={'|'.join(value(draw) for _ in range(count))}"


def value(draw: random.Random) -> str:
    """What may stand behind the equals sign of a parameter."""
    chance = draw.random()
    if chance < 0.02:  # a sweep that nobody can compute
        return "|".join(["0.1"] * draw.choice([100, 5000, 20_000]))
    if chance < 0.55:
        return draw.choice(NUMBERS)
    if chance < 0.8:
        return draw.choice(TEXTS) * draw.choice([1, 1, 1, 2, 20, 5000])
    if chance < 0.9:
        return "+".join(value(draw) for _ in range(draw.choice([2, 3, 10])))
    return '{"a":' * draw.choice([1, 5000, 50_000])


def _damaged(draw: random.Random, text: str) -> str:
    """The text with some characters lost, doubled, put in or exchanged."""
    signs = list(text[:400])
    for _ in range(draw.choice([1, 1, 2, 5])):
        place = draw.randrange(len(signs) + 1)
        match draw.randrange(4):
            case 0:
                signs[place : place + 1] = []
            case 1:
                signs[place:place] = signs[place : place + draw.choice([1, 5])]
            case 2:
                signs.insert(place, draw.choice([*"[]=|,*?+/-.%\"'{} ", *TEXTS]))
            case _:
                signs[place : place + 1] = [chr(draw.choice([draw.randrange(128), draw.randrange(0x3000)]))]
    return "".join(signs)


def options(draw: random.Random) -> dict[str, object]:
    """A request of which one or two options are odd; the rest is small and right."""
    small = {"datasets": "digits", "models": "resnet18[width=4]", "attacks": "badnets", "defenses": "none,fire"}
    odd: dict[str, object] = {kind: selection(draw, kind) for kind in draw.sample([*NAMES], draw.choice([1, 1, 2]))}
    if draw.random() < 0.15:
        odd[draw.choice(["seeds", "seeds", "reference", "suspects", "profile"])] = draw.choice(
            [draw.choice(NUMBERS), draw.choice(TEXTS), f"0-{draw.choice(NUMBERS)}", f"{draw.choice(NUMBERS)}%", *SEEDS]
        )
    return {**small, **odd}


def study(draw: random.Random, names: list[str]) -> str:
    """A study file that sets ``names`` to something."""
    lines = [_line(draw, names) for _ in range(draw.choice([1, 1, 2, 4]))]
    text = "\n".join(lines)
    return _damaged(draw, text) if draw.random() < 0.3 else text


def _line(draw: random.Random, names: list[str]) -> str:
    name = draw.choice(names) if draw.random() < 0.9 else draw.choice(["a", '"\\u0000"', "a.b", "'' ", "x" * 70_000])
    match draw.randrange(12):
        case 0:
            return ".".join([name] * draw.choice([2, 50, 3000])) + " = 1"
        case 1:
            return f"[{'.'.join([name] * draw.choice([1, 3, 2000]))}]"
        case 2:
            return f"[[{name}]]\na = 1"
        case _:
            return f"{name} = {_written(draw)}"


def _written(draw: random.Random) -> str:
    """A value of TOML, or nearly."""
    many = draw.choice([2, 100, 600, 5000, 50_000])
    makers: list[Callable[[], str]] = [
        lambda: draw.choice(NUMBERS),
        lambda: f'"{draw.choice(NUMBERS)}"',
        lambda: '"' + draw.choice(["\\u0000", "\\u202e", "\\u001b", "x", "/", "a/", "../", "ü", "\\n"]) * many + '"',
        lambda: f"[{', '.join(_written(draw) for _ in range(draw.choice([0, 1, 2, 3])))}]",
        lambda: "[" * many + "]" * many,
        lambda: "{a=" * many + "1" + "}" * many,
        lambda: draw.choice(
            ["true", "false", "inf", "-inf", "nan", "1979-05-27T07:32:00Z", "07:32:00", "0xff", "1e400"]
        ),
        lambda: draw.choice(['"/proc/x"', '"/proc/self/fd/0"', '"/dev/null/x"', '"/etc/passwd/x"', '"."', '"~"', '""']),
        lambda: (
            f'"{draw.choice(["none", "quick", "paper", "digits", "tac", "cpu", "cuda:0", "local", "failed", "0-3"])}"'
        ),
        lambda: f"'{'cuda:' + draw.choice(NUMBERS)}'",
        lambda: "'" + selection(draw, draw.choice([*NAMES])).replace("'", "") + "'",
    ]
    return draw.choice(makers)()
