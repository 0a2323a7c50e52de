"""How facts are put into words beside the tables: what to know to read them, what went wrong, where it comes from."""

import json

from bench.reports.blocks import AVERAGE, DAGGER, Block
from bench.reports.format import UNDEFINED, tally, word
from bench.reports.records import ORACLE

DEAR = 0.03  # fall of a benign model's accuracy that a table names
_MEANING = {
    "n/a": "n/a: not applicable",
    "failed": "failed: ended in an error",
    "timeout": "timeout: stopped at the time limit",
    "missing": "missing: no record",
}


def legend(block: Block, *, best: str) -> list[str]:
    """What a reader of a block's table must know, a sentence each. ``best`` says how the best DER is marked."""
    lines = [
        "In %: ACC accuracy on clean images; ASR triggered images classified as the target; "
        "RA triggered images classified correctly; DER = (max(0, fall of ASR) − max(0, fall of ACC) + 1) / 2.",
    ]
    if block.defenses:
        lines[0] += f" {best}: best DER of the row."
    seeds = ", ".join(map(str, block.seeds))
    lines.append(f"Seeds {seeds}: mean±sample standard deviation." if len(block.seeds) > 1 else f"Seed {seeds}.")
    own = [block.before[attack] for attack in block.attacks]
    own += [block.cells[attack, defense] for attack in block.attacks for defense in block.defenses]
    if any(cell.status == "done" and tally(cell) for cell in own):
        lines[-1] += " (1/3): 1 of 3 seeds done; such a cell cannot be best."
    if AVERAGE in block.lines:
        left_out = ["none"]
        if any(block.before[attack].status == "not-applicable" for attack in block.attacks):
            left_out.append("those not applicable")
        if block.doubts and not block.with_invalid:
            left_out.append(f"those marked {DAGGER}")
        lines.append(f"Average: over the attacks other than {' and '.join(left_out)}.")
        if any(tally(block.cells[AVERAGE, defense]) for defense in block.defenses):
            lines[-1] += " (1/4): 1 of 4 attacks has all its seeds; such an average cannot be best."
    if block.doubts:
        lines.append(f"{DAGGER}: the attack had not worked: {'; '.join(doubts(block))}.")
    if tolls(block):
        lines.append(f"Costs a benign model more than {100 * DEAR:.0f} points of ACC: {', '.join(tolls(block))}.")
    if len(block.rivals) < len(block.defenses):
        lines.append(f"{ORACLE.strip()}: no defense; it knows what no defender knows, and cannot be best.")
    used = {word(cell) for cell in own if cell.status != "done"}
    lines.append(
        "; ".join([f"{UNDEFINED}: not defined", *(text for key, text in _MEANING.items() if key in used)]) + "."
    )
    return lines


def tolls(block: Block) -> list[str]:
    """The defenses that cost the benign model of the control row more than DEAR, with the points of ACC lost."""
    benign = set(block.rows.loc[block.rows["attack"] == "none", "attack_label"])
    found = []
    for attack in [name for name in block.attacks if name in benign]:
        for defense in block.defenses:
            loss = block.before[attack].stat("acc").mean - block.cells[attack, defense].stat("acc").mean
            if loss > DEAR:
                found.append(f"{defense} ({100 * loss:.1f})")
    return found


def doubts(block: Block) -> list[str]:
    """Why an attack does not count, a phrase each; the seeds are named where others of them count."""
    told = []
    for attack, found in block.doubts.items():
        reasons: dict[str, list[str]] = {}
        for seed, reason in sorted(found.items()):
            reasons.setdefault(reason, []).append(str(seed))
        many = len(block.seeds) > 1
        told.append(
            f"{attack}: "
            + ", ".join(reason + f" (seed {', '.join(seeds)})" * many for reason, seeds in reasons.items())
        )
    return told


def troubles(block: Block) -> list[tuple[str, str, str, str, str]]:
    """Attack, defense, seeds, status and reason of what is not done, seeds with one reason together."""
    rows = block.rows[block.rows["status"] != "done"]
    grouped: dict[tuple[str, str, str, str], list[int]] = {}
    rows = rows.sort_values(["attack_label", "column", "seed"], kind="stable")
    names = ["attack_label", "column", "status", "reason"]
    for key, seed in zip(rows[names].itertuples(index=False), rows["seed"].tolist(), strict=True):
        attack, defense, status, reason = map(str, key)
        grouped.setdefault((attack, defense, status, reason or "no reason recorded"), []).append(seed)
    return [(a, d, ", ".join(map(str, seeds)), status, reason) for (a, d, status, reason), seeds in grouped.items()]


def provenance(block: Block) -> dict[str, str]:
    """Where a block's records come from: every different value of what was noted with them."""
    rows = block.rows
    facts = {"Profile": "profile", "Recipe": "recipe", "Device": "device", "Threads": "threads", "Seeds": "seed"}
    facts |= {"Reference images": "reference", "Suspected images": "suspects", "Code version": "code_version"}
    facts |= {"Deterministic": "deterministic", "Compiled": "compiled"}
    facts |= {"Commit": "commit", "Uncommitted changes": "dirty", "Packages": "packages"}
    found = {title: _different(rows[name].tolist()) for title, name in facts.items() if name in rows}
    times = [text for name in ("started", "finished") for text in rows[name] if text]
    if times:
        found["Ran"] = f"{min(times)} to {max(times)}"
    return {title: text for title, text in found.items() if text}


def _different(values: list[object]) -> str:
    texts = {_plain(value) for value in values if value is not None and value == value and value != ""}
    return "; ".join(sorted(texts, key=lambda text: (len(text), text)))


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # an integer column with a gap in it
    text = str(value)
    if text.startswith("{"):
        try:
            return ", ".join(f"{name} {version}" for name, version in sorted(json.loads(text).items()))
        except ValueError:
            return text
    return text
