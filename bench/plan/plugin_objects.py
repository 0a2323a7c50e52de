"""Plugins that a request has as objects: classes and instances, of a notebook, a script or any module of the caller's.

Each is handed to workers as a ``PluginFile``. Its text only stands for its code (``bench.plan.class_code``): a worker
gets the class itself, by value, because a script's text would begin its run again and a notebook has no text.
"""

import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from bench.errors import RequestError, one_line
from bench.plan import class_code, fingerprints, plugin_files
from bench.plan.fingerprints import Source
from bench.plan.plugin_files import PluginFile

if TYPE_CHECKING:
    from bench.plugin.base import Plugin


def files_of(classes: "Iterable[type[Plugin]]", *, sent: bool) -> list[PluginFile]:
    """The classes that are not installed ones as plugin files, entered in this process under their modules' names.

    sent: whether workers are to have them. Raises RequestError for one whose source cannot be read, or that cannot be
    sent.
    """
    files = []
    for cls in dict.fromkeys(classes):
        if not _is_installed(cls):
            file = _file_of(cls, _pickled(cls) if sent else b"")
            plugin_files.enter(file, cls)
            files.append(file)
    return files


def _is_installed(cls: "type[Plugin]") -> bool:
    """Whether the registry finds the class by an entry point."""
    target = f"{cls.__module__}:{cls.__qualname__}"
    points = entry_points(group=f"bench.{getattr(cls, 'kind', '')}s")
    return any(point.value == target for point in points)


def _file_of(cls: "type[Plugin]", pickled: bytes) -> PluginFile:
    text = class_code.text_of(cls).encode()
    path, package = _place(cls)
    source = Source(path, text)
    return PluginFile(path, text, fingerprints.beside(path.stem, source, package), pickled=pickled)


def _place(cls: "type[Plugin]") -> tuple[Path, str | None]:
    """A path in the folder that helper modules lie in, and the package that they must belong to, "" for none of them.

    A script's and a notebook's helpers lie beside it; those of an installed module are in its package.
    """
    module: ModuleType | None = sys.modules.get(cls.__module__)
    file = Path(getattr(module, "__file__", None) or "")
    if cls.__module__ == "__main__" or module is None or not file.is_file():
        written = Path(class_code.place_of(cls))
        if written.name != file.name:  # of a notebook, or of a prompt
            file = written if written.is_file() else Path("__main__.py")
        return file.absolute(), None
    parts = cls.__module__.split(".")
    folder = file.absolute().parents[len(parts) - (file.name != "__init__.py")]
    installed = folder.name in ("site-packages", "dist-packages")
    return folder / f"{cls.__module__}.py", parts[0] if installed or len(parts) > 1 else None


def _pickled(cls: "type[Plugin]") -> bytes:
    import cloudpickle

    module = sys.modules.get(cls.__module__)
    by_name = module is not None and cls.__module__ not in ("__main__", *cloudpickle.list_registry_pickle_by_value())
    try:
        if by_name:
            cloudpickle.register_pickle_by_value(module)  # a module that a worker imports would be what its file says
        pickled: bytes = cloudpickle.dumps(cls)
    except Exception as error:  # whatever its globals raise
        raise RequestError(
            f"class {cls.__qualname__}: cannot be handed to worker processes: {one_line(error)}; expected "
            'executor="inline", or a class that uses no such object'
        ) from error
    finally:
        if by_name:
            cloudpickle.unregister_pickle_by_value(module)
    return pickled
