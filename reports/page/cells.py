"""The fields of a page's tables as HTML. A template would take four times as long for the cells of a large grid."""

from collections.abc import Sequence

from markupsafe import Markup, escape

from bench.reports.page.grids import Column, Field


def matrix_cells(fields: Sequence[Field], columns: Sequence[Column]) -> Markup:
    """The fields of a line of a matrix, shaded; the interval of each is its title."""
    cells = []
    for field, column in zip(fields, columns, strict=True):
        shade = "" if field.shade is None else f" s{field.shade}"
        title = f' title="95 % interval: {escape(field.interval)}"' if field.interval else ""
        place = ' class="n{} avg"' if column.place is None else f' class="n{{}}" data-a="{column.place}"'
        cells.append(f"<td{place.format(shade)}{title}>{_shown(field)}</td>")
    return Markup("\n".join(cells))


def pair_cells(fields: Sequence[Field]) -> Markup:
    """The fields of a pair, one a metric; the interval of each stands below it."""
    cells = []
    for metric, field in enumerate(fields):
        interval = f"<small>{escape(field.interval)}</small>" if field.interval else ""
        cells.append(f'<td class="n" data-m="{metric}">{_shown(field)}{interval}</td>')
    return Markup("".join(cells))


def _shown(field: Field) -> str:
    """A field's figure, marked, with its spread and its tally; or the word that stands for it."""
    if field.word:
        word = escape(field.word)
        return f'<span class="bad">{word}</span>' if len(field.word) > 1 else str(word)
    text = str(escape(field.mean))
    if field.best:
        text = f'<b class="best">{text}*</b>'
    elif field.second:
        text = f'<u class="second">{text}</u>'
    if field.spread:
        text += f"<small>±{escape(field.spread)}</small>"
    return text + f"<small>({escape(field.tally)})</small>" if field.tally else text
