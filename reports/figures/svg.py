"""A figure's SVG made small, and fit to stand in a page beside others."""

import re
from hashlib import sha256

_TAG = re.compile(rb"<[^<>]*>")  # in attributes, too, matplotlib writes < and > as entities
_PLACES = re.compile(rb' (?:d|x|y|x1|x2|y1|y2|width|height|points|transform="(?:translate|rotate))="?[^"]*"')
_HUNDREDTHS, _TENTHS = re.compile(rb"(\.\d\d)\d+"), re.compile(rb"(\.\d)\d+")
_LONG = 800  # letters of a path that is no small mark
_FAMILIES = b"'DejaVu Sans', Verdana, 'Liberation Sans', Arial, sans-serif"
_ROOT = b'<svg stroke-linejoin="round" stroke-linecap="butt" font-family="' + _FAMILIES + b'" '
_GONE = re.compile(rb"<!--.*?-->|<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)


def compact(svg: bytes) -> bytes:
    """The ``<svg>`` element of a file that matplotlib has written, to a hundredth of a point, long lines to a tenth.

    Without prolog, metadata, comments, and the style sheet, which would hold for the whole page. Ids that nothing
    refers to are left out; the others begin with a hash of the figure, for in a page they must not be those of another
    one. Of the letters' family, others are named that do. Texts are what they were.
    """
    svg = _GONE.sub(b"", svg[svg.index(b"<svg") :])
    referred = (found[1] for tag in _TAG.findall(svg) for found in re.finditer(rb'(?:href="#|url\(#)([^")]+)', tag))
    mark = b"f" + sha256(svg).hexdigest()[:8].encode() + b"-"
    used = {name: mark + str(number).encode() for number, name in enumerate(dict.fromkeys(referred))}
    parts, kept = list[bytes](), list[bool]()  # of each open group: whether it says anything
    end = 0
    for found in _TAG.finditer(svg):
        parts.append(svg[end : found.start()])
        end = found.end()
        tag = _short(found[0], used)
        if tag.startswith((b"<g>", b"<g ")):
            kept.append(tag != b"<g>")
            parts.append(tag if kept[-1] else b"")
        elif tag != b"</g>" or kept.pop():
            parts.append(tag)
    text = b"".join(part for part in parts if part.strip()).replace(b"<svg ", _ROOT, 1)
    return text.replace(b"<defs></defs>", b"") + b"\n"


def _short(tag: bytes, used: dict[bytes, bytes]) -> bytes:
    """A tag with short numbers, and the ids of its figure."""
    tag = re.sub(rb' id="([^"]*)"', lambda own: b' id="' + used[own[1]] + b'"' if own[1] in used else b"", tag)
    tag = re.sub(rb'(href="#|url\(#)([^")]+)', lambda own: own[1] + used[own[2]], tag)
    tag = re.sub(rb' transform="rotate\(-?0 [^"]*"', b"", tag)
    tag = _PLACES.sub(lambda place: (_TENTHS if len(place[0]) > _LONG else _HUNDREDTHS).sub(rb"\1", place[0]), tag)
    tag = re.sub(rb"\s*\n\s*(\w?) ?", rb"\1", tag)  # between the commands of a path
    tag = tag.replace(b" font-family: 'DejaVu Sans';", b"").replace(b"font: bold ", b"font-weight: bold; font-size: ")
    tag = tag.replace(b"font: italic ", b"font-style: italic; font-size: ").replace(b" 'DejaVu Sans'", b"")
    return re.sub(rb"([:;]) ", rb"\1", tag)
