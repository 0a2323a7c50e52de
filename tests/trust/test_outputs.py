"""Every text that a record can carry, through every output: it steers nothing, and is shown as it is written."""

import csv
import html.parser
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from hostile import PLAIN
from markdown_it import MarkdownIt
from report_frames import printed

from bench.records import Record, to_frame
from bench.reports import terminal_table, write, write_report
from bench.reports.tables.latex import escape_latex

TERMINAL = "\x1b[31m\x1b]0;title\x07\x9b2J\u202e\u2066\u200b\r\n\x7f\x00\ud800"
MARKUP = r"[red]x[/red] [link=file:///etc/passwd]y[/link] \[bold]"
HTML = "<script>alert(1)</script><img src=x onerror=alert(1)>\"' onclick='x' </td></table>&lt;b&gt;{{ 7*7 }}{% raw %}"
MARKDOWN = "`code` **b** _i_ ~~s~~ | cell | [link](javascript:x) ![i](http://x/y.png) <http://x> # h $m$ &amp; \\"
LATEX = r"\input{/etc/passwd}\write18{id} % comment $x$ ^^5c ~ # & _ { } ^ [1] a--b `` '' \\ \end{tabular}"
FORMULAS = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "|calc", "＝1", "'=1"]
BREAK = "<!-- -->"  # stands in what a service would make a link of
HOSTILE = {"terminal": f"a{TERMINAL}b", "markup": MARKUP, "html": HTML, "markdown": MARKDOWN, "latex": LATEX}
HOSTILE |= {f"formula {text[:4]!a}": text for text in FORMULAS}

NAMES = {"key", "victim_key", "status"}
OBJECTS = {
    *(f"{kind}_params" for kind in ("dataset", "model", "attack", "defense", "recipe")),
    "packages",
    "fingerprints",
}
FOR_PAPERS = {"titles", "citations"}
TEXTS = [
    name
    for name, field in Record.model_fields.items()
    if field.annotation in (str, str | None)
    and name not in {*NAMES, *OBJECTS, *FOR_PAPERS, "diagnostics", "targets", "class_names", "class_acc_before"}
]


def carrying(text: str) -> pd.DataFrame:
    """Records with ``text`` in every column that holds any: done, failed, not applicable, and left out."""
    json_text = text.replace("\ud800", "")
    noted = {"class_statistic": {"name": json_text, "values": [1.0, 2.0], "flagged": [0]}, json_text: [{json_text: 1}]}
    columns = PLAIN | dict.fromkeys(TEXTS, text)
    columns |= dict.fromkeys(OBJECTS, json.dumps({json_text: json_text}, ensure_ascii=False))
    declared = json.dumps(dict.fromkeys(("dataset", "model", "attack", "defense"), json_text), ensure_ascii=False)
    columns |= dict.fromkeys(FOR_PAPERS, declared)
    columns |= {"class_names": json.dumps([json_text, json_text], ensure_ascii=False)}
    columns |= {"diagnostics": json.dumps(noted, ensure_ascii=False), "acc": 0.9, "asr": 0.1, "ra": 0.8, "der": 0.9}
    columns |= {"acc_before": 0.9, "asr_before": 0.9, "ra_before": 0.1, "auroc": 0.5, "valid": False, "oracle": True}
    other = {"defense": "x", "defense_label": f"x{text}", "oracle": False}
    changed = [
        {}, {"seed": 1, **other}, {**other, "attack_label": "b", "valid": True},
        {"seed": 2, "status": "failed"}, {"attack_label": f"c{text}", "status": "not-applicable", **other},
        {"attack_params": "{}", "finished": "z", "seed": 3},
    ]  # fmt: skip
    return to_frame(Record(**{**columns, **one, "key": f"{number:032x}"}) for number, one in enumerate(changed))


@pytest.fixture(scope="module", autouse=True)
def one_figure() -> Iterator[None]:
    """Of the figures one is drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "FIGURES", {"class_statistics": write.FIGURES["class_statistics"]})
        yield


@pytest.fixture(scope="module")
def plain_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report with nothing hostile in it."""
    folder = tmp_path_factory.mktemp("plain")
    write_report(carrying("harmless"), folder)
    return folder


@pytest.fixture(scope="module", params=["terminal", "markup", "html", "markdown", "latex", "formula '=cmd'"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame, str]:
    """A report's folder, the frame that it is of, and the text in it."""
    folder, text = tmp_path_factory.mktemp("report"), HOSTILE[request.param]
    frame = carrying(text)
    write_report(frame, folder)
    return folder, frame, text


def test_there_are_texts_to_try() -> None:
    assert len(TEXTS) > 20


def test_every_line_of_every_output_is_printable(written: tuple[Path, pd.DataFrame, str]) -> None:
    folder, frame, _ = written
    texts = ["\n".join(printed(terminal_table(frame, width), width)) for width in (60, 200)]
    texts += [(folder / name).read_text() for name in ("table.md", "table.tex", "table.csv", "index.html")]
    parquet = pd.read_parquet(folder / "results.parquet")
    texts += [value for name in parquet for value in parquet[name] if isinstance(value, str)]
    for text in texts:
        text.encode()
        assert all(line.isprintable() for line in text.split("\n"))
    assert all(path.name.isascii() and path.name.isprintable() for path in folder.rglob("*"))


def test_markup_is_text_on_the_terminal(written: tuple[Path, pd.DataFrame, str]) -> None:
    _, frame, text = written
    out = "".join(line.strip() for line in printed(terminal_table(frame, 2000), 2000))
    if text == MARKUP:
        assert out.count("[red]x[/red] [link=file:///etc/passwd]y[/link] \\[bold]") > 5


class _Page(html.parser.HTMLParser):
    """What a browser makes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def page(path: Path) -> _Page:
    parser = _Page()
    parser.feed(path.read_text())
    return parser


def test_the_page_has_the_tags_of_a_harmless_one(written: tuple[Path, pd.DataFrame, str], plain_report: Path) -> None:
    seen, harmless = page(written[0] / "index.html"), page(plain_report / "index.html")
    assert seen.tags == harmless.tags
    assert {name for name, _ in seen.attributes} == {name for name, _ in harmless.attributes}
    links = [value or "" for name, value in seen.attributes if name in ("href", "src")]
    assert links
    inside = r"#[\w.-]+|data:image/(png|jpeg);base64,[\w+/=]+"
    assert all(re.fullmatch(rf"(figures/)?[\w.-]+|{inside}", link) for link in links)
    if written[2] == HTML:
        assert " ".join(HTML.split()) in seen.text


def test_markdown_is_tables_lists_and_text_only(written: tuple[Path, pd.DataFrame, str]) -> None:
    folder, _, text = written
    tokens = (
        MarkdownIt("commonmark", {"html": True})
        .enable(["table", "strikethrough"])
        .parse((folder / "table.md").read_text())
    )
    inline = [child for token in tokens for child in token.children or [] if child.content != BREAK]
    assert not {token.type for token in tokens} & {"html_block", "fence", "code_block", "blockquote_open", "hr"}
    assert {child.type for child in inline} <= {"text", "text_special", "strong_open", "strong_close", "softbreak"}
    rows = [token for token in tokens if token.type == "tr_open"]
    assert len(rows) > 8
    shown = "".join(child.content for child in inline)
    if text in (MARKDOWN, HTML, LATEX):
        assert " ".join(text.split()) in shown


LATEX_WORDS = r"textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar"
LATEX_LAYOUT = set(  # of texts that fill several lines, or pages
    re.findall(
        r"\\\w+",
        r"\vtop\hbox\strut\shortstack\tiny\allowbreak\ldots\itshape\midrule\pm\parbox\linewidth\noindent\par"
        r"\figbelow\providecommand\hss\vrule\csname\endcsname\onecolumn\twocolumn\goback\def\else\fi\LTcapwidth\endfirsthead\endhead\endfoot",
    )
)


@pytest.mark.parametrize("what", HOSTILE)
def test_latex_has_no_active_sign_but_its_own(what: str) -> None:
    text = HOSTILE[what].replace("\ud800", "")
    rest = re.sub(rf"\\({LATEX_WORDS})\{{\}}|\\[&%$#_{{}}]|\{{[\[\]`]\}}|\{{\}}", "", escape_latex(text))
    assert not set(rest) & set(r"\{}%$#&_^~[]")
    assert "--" not in escape_latex(text)


def test_the_latex_file_has_the_commands_of_a_harmless_one(
    written: tuple[Path, pd.DataFrame, str], plain_report: Path
) -> None:
    own = re.compile(rf"\\(?:{LATEX_WORDS})\{{\}}")
    seen, harmless = (own.sub("", (folder / "table.tex").read_text()) for folder in (written[0], plain_report))
    commands = [set(re.findall(r"\\[a-zA-Z]+", text.replace(r"\\", " "))) for text in (seen, harmless)]
    assert commands[0] <= commands[1] | LATEX_LAYOUT


def test_no_cell_of_a_csv_is_a_formula(written: tuple[Path, pd.DataFrame, str]) -> None:
    with (written[0] / "table.csv").open(newline="") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    texts = [cell for cell in cells if cell and not re.fullmatch(r"-?[\d.]+(e-?\d+)?", cell)]
    assert texts
    assert not [cell for cell in texts if cell.strip()[:1] in tuple("=+-@|%＝＋－＠\t\r\n")]
