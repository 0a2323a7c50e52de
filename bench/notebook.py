"""A text that Python's prompt and a notebook show as it is."""

import html


class Text(str):
    """A text that is shown as it is, also by Python's prompt and by a notebook."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f'<pre style="line-height:1.2">{html.escape(self)}</pre>'
