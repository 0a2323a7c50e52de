"""What a reader must know beside the tables: how to read them, what does not count, where the records come from."""

from bench.records import printable
from bench.reports.blocks import AVERAGE, Block
from bench.reports.class_names import class_names
from bench.reports.diagnostics import texts as texts_in
from bench.reports.format import UNDEFINED, tally, word
from bench.reports.identity import left_out_lines, untold
from bench.reports.records import DAGGER, ORACLE, RANKED
from bench.reports.uncertainty.marks import HELPS
from bench.reports.uncertainty.told import how_marked

NOTABLE_LOSS = 0.03  # of a benign model's ACC; a defense that costs more is named
_MEANING = {
    "n/a": "n/a: not applicable",
    "failed": "failed: ended in an error",
    "timeout": "timeout: stopped at the time limit",
    "missing": "missing: no record",
}
_METRICS = {
    "acc": "ACC accuracy on clean images",
    "acc_target": "ACC(t) accuracy on clean images of the target classes",
    "asr": "ASR triggered images classified as the target",
    "ra": "RA triggered images classified correctly",
    "der": "DER = (max(0, fall of ASR) − max(0, fall of ACC) + 1) / 2",
}
_BOTH = f"{_METRICS['acc']}; ACC(t) accuracy on clean images of", f"{_METRICS['acc']}, ACC(t) on those of"
_GIVEN = {
    "clean": "clean, the reference set",
    "suspected": "suspected, believed to be triggered",
    "pairs": "pairs, believed to be triggered, with their clean originals",
}
_ORIGINS = {
    "Profile": "profile",
    "Recipe": "recipe",
    "Device": "device",
    "Threads": "threads",
    "Seeds": "seed",
    "Reference images": "reference",
    "Suspected images": "suspects",
    "Code version": "code_version",
    "Deterministic": "deterministic",
    "Compiled": "compiled",
    "Commit": "commit",
    "Uncommitted changes": "dirty",
    "Packages": "packages",
}


def legend(block: Block, *, best: str, second: str = "Underlined") -> list[str]:
    """What a reader of a block's table must know of what it shows, a line each.

    ``best`` says how the best DER is marked, and ``second`` how the second best is, "" where it is not.
    """
    own = [block.cell(attack, defense) for attack in block.attacks for defense in [None, *block.defenses]]
    ranked = _ranks(block)
    meanings = "; ".join(text for metric, text in _METRICS.items() if metric in block.metrics)
    lines = [f"In %: {meanings.replace(*_BOTH)}."]
    lines += _ranking(block, best, second)
    lines.append(_seeds(block, partly=any(cell.status == "done" and tally(cell) for cell in own)))
    if AVERAGE in block.row_names:
        lines.append(_average(block))
    if block.invalid_attacks:
        lines.append(f"{DAGGER}: the attack had not worked: {'; '.join(why_invalid(block))}.")
    if costs := costs_on_benign(block):
        lines.append(f"Costs a benign model more than {100 * NOTABLE_LOSS:.0f} points of ACC: {', '.join(costs)}.")
    if block.detectors:
        without = ", so has no DER" * ranked
        lines.append(f"Only flags inputs and changes no prediction{without}: {', '.join(block.detectors)}.")
    if len(block.rivals) < len(block.defenses):
        lines.append(f"{ORACLE.strip()}: no defense; it knows what no defender knows{', and cannot be best' * ranked}.")
    if names := class_names(block):
        lines.append(f"Classes: {', '.join(f'{label} {name}' for label, name in names.items())}.")
    if left_out := left_out_lines(block.left_out):
        lines.append(f"Left out, for a row and a column are of one thing: {'; '.join(left_out)}.")
    if said := untold(block.records):
        lines.append(said)
    used = {word(cell) for cell in own if cell.status != "done"}
    words = [f"{UNDEFINED}: not defined", *(text for key, text in _MEANING.items() if key in used)]
    return [*lines, "; ".join(words) + "."]


def costs_on_benign(block: Block) -> list[str]:
    """The defenses that cost the benign model of the control row more than NOTABLE_LOSS, with the points of ACC."""
    benign = set(block.records.loc[block.records["attack"] == "none", "attack_label"])
    costs = []
    for attack in [name for name in block.attacks if name in benign]:
        for defense in block.defenses:
            loss = block.fall_of_acc(attack, defense)
            if loss > NOTABLE_LOSS:
                costs.append(f"{defense} ({100 * loss:.1f})")
    return costs


def why_invalid(block: Block) -> list[str]:
    """Why an attack does not count, a phrase each; with the seeds where the block has several."""
    several = len(block.seeds) > 1
    phrases = []
    for attack, reason_of in block.invalid_attacks.items():
        seeds_of: dict[str, list[str]] = {}
        for seed, reason in sorted(reason_of.items()):
            seeds_of.setdefault(reason, []).append(str(seed))
        reasons = [reason + f" (seed {', '.join(seeds)})" * several for reason, seeds in seeds_of.items()]
        phrases.append(f"{attack}: {', '.join(reasons)}")
    return phrases


def origins(block: Block) -> dict[str, str]:
    """Where a block's records come from: under each title the distinct values of what was noted with them."""
    records = block.records
    texts = {title: _distinct(records[name].tolist()) for title, name in _ORIGINS.items() if name in records}
    times = [text for name in ("started", "finished") for text in records[name] if text]
    if times:
        texts["Ran"] = f"{min(times)} to {max(times)}"
    return {title: text for title, text in texts.items() if text}


def _ranks(block: Block) -> bool:
    """Whether the table shows what defenses are ranked by."""
    return RANKED in block.metrics


def _ranking(block: Block, best: str, second: str) -> list[str]:
    """What the groups of defenses are, and within which one is best; nothing of the best where DER is not shown."""
    lines = []
    if _ranks(block) and any(group.ranked for group in block.groups):
        lines.append(
            f"{best}: best DER against an attack among defenses that were given the same; none where there is only "
            f"one, or where DER is {HELPS} % or less."
        )
        if marked := how_marked(block):
            lines.append(marked)
        if second and any(block.marks(name).second for name in block.row_names):
            lines.append(f"{second}: second best, the highest DER of those that are not marked as best.")
    texts = " ".join(group.given for group in block.groups).split()
    if kinds := [text for word, text in _GIVEN.items() if word in texts]:
        lines.append(f"Given, in images: {'; '.join(kinds)}.")
    return lines


def _seeds(block: Block, *, partly: bool) -> str:
    if over := sorted({int(count) for count in block.records["means_over"] if count > 0}):
        return f"From a table of means: over {' or '.join(map(str, over))} seed{'s' * (over[-1] > 1)} each."
    seeds = ", ".join(map(str, block.seeds))
    line = f"Seeds {seeds}: mean±sample standard deviation." if len(block.seeds) > 1 else f"Seed {seeds}."
    best = "; such a cell cannot be best" * _ranks(block)
    return line + f" (1/3): 1 of the attack's 3 seeds has every figure{best}." * partly


def _average(block: Block) -> str:
    left_out = ["none"]
    if any(block.before[attack].status == "not-applicable" for attack in block.attacks):
        left_out.append("those not applicable")
    if block.invalid_attacks and not block.with_invalid:
        left_out.append(f"those marked {DAGGER}")
    line = f"Average: over the attacks other than {' and '.join(left_out)}."
    if any(tally(block.cells[AVERAGE, defense]) for defense in block.defenses):
        best = "; such an average cannot be best" * _ranks(block)
        line += f" (1/4): 1 of the 4 victims, all seeds of these attacks, has every figure{best}."
    return line + "".join(f" {text}." for text in block.known_of_fewer)


def _distinct(values: list[object]) -> str:
    texts = {_plain(value) for value in values if value is not None and value == value and value != ""}
    return "; ".join(sorted(texts, key=lambda text: (len(text), text)))


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # an integer column with a gap is a column of floats
    text = str(value)
    versions = texts_in(text) if text.startswith("{") else {}
    return printable(", ".join(f"{name} {version}" for name, version in sorted(versions.items())) or text)
