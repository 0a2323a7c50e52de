"""The results as numbers, for other programs: one long table."""

import csv as files
from io import StringIO

from bench.reports.blocks import Block, Cell
from bench.reports.identification import VERDICTS
from bench.reports.records import COSTS, METRICS, NUMBERS, ordered
from bench.reports.stats import Stat

_FORMULA = tuple("=+-@|%＝＋－＠")  # by which a formula, or a command, begins


def csv(blocks: list[Block]) -> str:
    """One line a data set, model, attack and defense, the control among them.

    Every number of the records has its mean, sample standard deviation (empty for fewer than two) and count over the
    done seeds; those of the main table have the ends of their 95 % interval (_low, _high; empty where there is none).
    Shares are in [0, 1]. Costs are empty where they are of several devices. left_out counts the records that are not in
    these numbers, for they are of another plugin, other parameters or other code than the newest. detects_only:
    whether a defense only flags inputs, so that it has no DER. identified_… count the seeds whose target classes the
    defense named right, wrong, or not at all.
    """
    lines = [line for block in blocks for line in _lines(block)]
    text = StringIO()
    write = files.writer(text, lineterminator="\n").writerow
    write(lines[0] if lines else [])
    for line in lines:
        write(["" if value != value else value for value in line.values()])  # NaN is empty
    return text.getvalue()


def _lines(block: Block) -> list[dict[str, object]]:
    """The block's lines, by attack, or by defense where it has its defenses as rows."""
    first = block.records.iloc[0]
    names = ["dataset_label", "model_label", "profile", "recipe"]
    alike: dict[str, object] = {name.removesuffix("_label"): plain(first[name]) for name in names}
    return [alike | line for pair in _pairs(block) if (line := _line(block, *pair))]


def _pairs(block: Block) -> list[tuple[str, str]]:
    """Every attack and defense, in the order of the lines; those of which all records are left out come last."""
    attacks, defenses, others = block.attacks, ordered(block.records, "column", "defense"), block.left_out
    if len(others):
        attacks = [*attacks, *(name for name in ordered(others, "attack_label", "attack") if name not in attacks)]
        defenses = [*defenses, *(name for name in ordered(others, "column", "defense") if name not in defenses)]
    if block.defenses_as_rows:
        return [(attack, defense) for defense in defenses for attack in attacks]
    return [(attack, defense) for attack in attacks for defense in defenses]


def plain(text: str) -> str:
    """``text`` so that a spreadsheet does not take it for a formula: one is made a text by an apostrophe before it."""
    return f"'{text}" if text.lstrip()[:1] in _FORMULA else text


def _line(block: Block, attack: str, defense: str) -> dict[str, object] | None:
    """None where there is no record at all, be it one that is left out."""
    others = block.left_out
    left_out = others[(others["attack_label"] == attack) & (others["column"] == defense)] if len(others) else others
    records = block.by_cell.get((attack, defense))
    if records is None and left_out.empty:
        return None
    knowledge = left_out["knowledge"].iloc[0] if records is None else records["knowledge"][0]
    line: dict[str, object] = {"attack": plain(attack), "defense": plain(defense), "knowledge": plain(knowledge)}
    line["detects_only"] = "yes" if (left_out if records is None else records)["detects_only"].any() else "no"
    done = None if records is None else records.done
    counts = (0, 0, 0) if records is None or done is None else (len(records), len(done), int(done["valid"].sum()))
    line |= {**dict(zip(("seeds", "done", "valid"), counts, strict=True)), "left_out": len(left_out)}
    verdicts = done["identified"].tolist() if done else []
    line |= {f"identified_{verdict}": verdicts.count(verdict) for verdict in VERDICTS}
    stats = done.stats(NUMBERS) if done else dict.fromkeys(NUMBERS, Stat())
    if done and len(set(done["device"])) > 1:
        stats |= dict.fromkeys([*COSTS, "peak_memory_mb"], Stat())  # of no use as a mean over a CPU and a GPU
    for metric, stat in stats.items():
        line |= {f"{metric}_mean": stat.mean, f"{metric}_std": stat.std, f"{metric}_n": stat.count}
    in_column = defense if (attack, defense) in block.cells else None  # else the undefended network
    cell = Cell() if records is None else block.cell(attack, in_column)
    for metric in METRICS:
        line |= {f"{metric}_low": cell.stat(metric).low, f"{metric}_high": cell.stat(metric).high}
    return line
