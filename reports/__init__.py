"""From records to tables, figures and pages. The names below are loaded on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.folder import write_report
    from reports.terminal import terminal_table

__all__ = ["terminal_table", "write_report"]

_MODULE_OF = {"terminal_table": "reports.terminal", "write_report": "reports.folder"}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'reports' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)
