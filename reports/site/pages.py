"""The pages of the site as HTML. Templates escape every text, and no page has a script."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from bench.reports.legend import legend, origins
from bench.reports.site import addresses, tables
from bench.reports.site.about import About
from bench.reports.site.cells import cell_pages
from bench.reports.site.contents import Contents, Shown


def written(contents: Contents, about: About) -> Iterator[tuple[str, str]]:
    """The address and the text of every page and of the style, the index last: it refers to the others."""
    templates = _templates()

    def page(address: str, template: Template, **values: Any) -> tuple[str, str]:
        return address, template.render(about=about, root="../" * address.count("/"), **values)

    cell = templates.get_template("cell.html")
    for one in cell_pages(contents):
        yield page(one.page, cell, cell=one)
    setting = templates.get_template("setting.html")
    for together in contents.settings:
        yield page(together[0].page, setting, parts=[_part(one) for one in together], first=together[0])
    plugin = templates.get_template("plugin.html")
    for name in contents.attacks:
        own = [tables.of_attack(one, name) for one in contents.shown if name in one.attack_names.values()]
        yield page(addresses.of_attack(name), plugin, kind="attack", name=name, shown=own, pages=_pages(contents, own))
    for name in contents.defenses:
        own = [tables.of_defense(one, name) for one in contents.shown if name in one.defense_names.values()]
        yield page(
            addresses.of_defense(name), plugin, kind="defense", name=name, shown=own, pages=_pages(contents, own)
        )
    yield addresses.STYLE, templates.get_template("style.css").render()
    yield page(addresses.INDEX, templates.get_template("index.html"), **_index(contents))


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("bench.reports", "site/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals["at"] = addresses
    return made


def _index(contents: Contents) -> dict[str, Any]:
    return {
        "contents": contents,
        "settings": tables.settings(contents),
        "defenses": tables.plugins(contents, contents.defenses, "defense_names", addresses.of_defense),
        "attacks": tables.plugins(contents, contents.attacks, "attack_names", addresses.of_attack),
    }


def _part(shown: Shown) -> dict[str, Any]:
    """A block on the page of its data set and architecture: DER first, the other metrics folded."""
    made = {metric: tables.matrix(shown, metric) for metric in tables.SHOWN}
    first, *others = [table for metric in ("der", "acc", "asr", "ra") if not (table := made[metric]).empty] or [
        made["der"]
    ]
    return {
        "shown": shown,
        "first": first,
        "others": others,
        "legend": legend(shown.block, best="Bold", second=""),
        "origins": origins(shown.block),
    }


def _pages(contents: Contents, own: list[tables.Table]) -> dict[str, str]:
    """By a table's title, the page of its data set and architecture."""
    return {one.title: one.page for one in contents.shown if one.title in {table.title for table in own}}
