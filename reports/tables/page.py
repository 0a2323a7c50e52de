"""One HTML page: tables, figures, what each defense was given and cost, what went wrong, where it all comes from."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from math import isnan
from string import Template

from bench.reports.blocks import AVERAGE, Block, Cell
from bench.reports.format import NO_DEFENSE, UNDEFINED, percent, tally, word
from bench.reports.legend import legend, provenance, troubles
from bench.reports.stats import Stat

Figures = Sequence[tuple[str, str]]  # (path relative to the page, caption)

_HEADS = {"acc": "ACC", "asr": "ASR", "ra": "RA", "der": "DER"}
_DETAIL = {"acc_target_before": "ACC before", "acc_target": "ACC after"}


def page(blocks: list[Block], figures: Sequence[Figures], gallery: Figures) -> str:
    """The page of ``blocks``, with each block's ``figures`` and the ``gallery`` of triggers, which may be empty."""
    body = [_section(block, shown) for block, shown in zip(blocks, figures, strict=True)]
    if gallery:
        body.append(f"<h2>Triggers</h2>\n{_figures(gallery)}")
    template = files("bench.reports.tables").joinpath("page.html").read_text(encoding="utf-8")
    return Template(template).substitute(body="\n".join(body))


def _section(block: Block, figures: Figures) -> str:
    notes = "".join(f"<li>{escape(text)}</li>" for text in legend(block, best="Bold and *"))
    parts = [f"<h2>{escape(block.title)}</h2>", _matrix(block), f'<ul class="legend">{notes}</ul>', _figures(figures)]
    for extra in block.extras:
        texts = [
            [*map(_td, line[: extra.texts]), *(_td(text, "n") for text in line[extra.texts :])] for line in extra.lines
        ]
        parts += [f"<h3>{extra.title}</h3>", _table(extra.heads, texts, right=extra.texts)]
    if block.defenses:
        parts += ["<h3>Clean images of the target classes</h3>", _details(block)]
    wrong = [[*map(_td, line[:3]), _td(line[3], "bad"), _td(line[4], "reason")] for line in troubles(block)]
    if wrong:
        parts += ["<h3>Not done</h3>", _table(["attack", "defense", "seeds", "status", "reason"], wrong)]
    facts = "".join(f"<dt>{escape(title)}</dt><dd>{escape(text)}</dd>" for title, text in provenance(block).items())
    parts += ["<h3>Where this comes from</h3>", f"<dl>{facts}</dl>"]
    return "\n".join(part for part in parts if part)


def _matrix(block: Block) -> str:
    """Attacks against defenses, a group of columns for each defense."""
    columns = [None, *block.defenses]
    groups = "".join(
        f'<th class="c group" colspan="{4 if name else 3}">{escape(name or NO_DEFENSE)}</th>' for name in columns
    )
    metrics = "".join(
        f'<th class="n{" group" if metric == "acc" else ""}">{head}</th>'
        for name in columns
        for metric, head in _HEADS.items()
        if name or metric != "der"
    )
    body = []
    for attack in block.lines:
        cells = "".join(_group(block, attack, name) for name in columns)
        start = '<tr class="average">' if attack == AVERAGE else "<tr>"
        body.append(f'{start}<th scope="row">{escape(block.marked(attack))}</th>{cells}</tr>')
    head = f'<tr><th rowspan="2">attack</th>{groups}</tr><tr>{metrics}</tr>'
    return (
        f'<div class="scroll"><table class="matrix"><thead>{head}</thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def _group(block: Block, attack: str, defense: str | None) -> str:
    cell: Cell = block.before[attack] if defense is None else block.cells[attack, defense]
    metrics = [metric for metric in _HEADS if defense or metric != "der"]
    if cell.status != "done":
        return f'<td class="c group bad" colspan="{len(metrics)}">{escape(word(cell))}</td>'
    best = defense in block.best(attack)
    texts = [_figure(cell.stat(metric), "*" * (best and metric == "der")) for metric in metrics]
    if tally(cell):
        texts[0] += f' <span class="std">({tally(cell)})</span>'
    if best:
        texts[-1] = f'<span class="best">{texts[-1]}</span>'
    return "".join(f'<td class="n{" group" if not place else ""}">{text}</td>' for place, text in enumerate(texts))


def _figure(stat: Stat, mark: str = "") -> str:
    mean, sign, spread = percent(stat).partition("±")
    return f'{mean}{mark}<span class="std">±{spread}</span>' if sign else mean + mark


def _details(block: Block) -> str:
    """Per attack and defense: accuracy on clean images of the target classes."""
    lines = []
    for attack in block.attacks:
        for defense in block.defenses:
            rows = block.done(attack, defense)
            stats = {name: Stat.of(rows[name]) for name in _DETAIL} if rows else {}
            if any(not isnan(stat.mean) for stat in stats.values()):
                lines.append([_td(attack), _td(defense), *(f'<td class="n">{_figure(s)}</td>' for s in stats.values())])
    return _table(["attack", "defense", *_DETAIL.values()], lines, right=2) if lines else f"<p>{UNDEFINED}</p>"


def _figures(figures: Figures) -> str:
    return "\n".join(
        f'<figure><a href="{escape(path)}"><img src="{escape(path)}" alt="{escape(caption)}"></a>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for path, caption in figures
    )


def _table(heads: Sequence[str], rows: Iterable[Iterable[str]], right: int = 99) -> str:
    """A plain table of finished cells; headings from the number ``right`` on stand to the right."""
    head = "".join(f'<th class="n">{h}</th>' if place >= right else f"<th>{h}</th>" for place, h in enumerate(heads))
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _td(text: str, kind: str = "") -> str:
    return f'<td class="{kind}">{escape(text)}</td>' if kind else f"<td>{escape(text)}</td>"
