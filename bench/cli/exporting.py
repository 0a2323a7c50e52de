"""``bench export``: what a store holds, as files for others."""

from typing import Annotated, Any

from cyclopts import Parameter

from bench.cli.options import merge_options, with_options
from bench.cli.output import complain
from bench.cli.paths import GivenPath
from bench.errors import RequestError, shortened

Switch = Annotated[bool, Parameter(negative="", show_default=False)]


@with_options(["plugin", "data", "store", "device"])
def export(
    key: str,
    /,
    *,
    out: GivenPath | None = None,
    victim: Switch = False,
    poisoned: GivenPath | None = None,
    **options: Any,
) -> None:
    """Write a stored network to a file that says where it comes from, or the poisoned training images to a directory.

    Nothing is overwritten.

    Parameters
    ----------
    key
        The key of a cell (bench plan lists them) or of a victim, or the beginning of one. Of a cell, the network that
        its repair returned, which bench run --keep-networks keeps.
    out
        The file to write: NAME.safetensors, or NAME.onnx if the packages onnx and onnxscript are installed.
    victim
        The network of the cell's victim, as it was trained.
    poisoned
        The directory to write the victim's poisoned training images to, as PNG, with their indices and labels in
        images.csv.
    """
    from bench.api import open_registry
    from bench.export.networks import check_out, export_network
    from bench.export.new_files import check_new
    from bench.export.sources import source
    from bench.store.store import Store

    if out is None and poisoned is None:
        raise RequestError(f"export {shortened(key)}: expected --out FILE, --poisoned DIR or both")
    request, how = merge_options(None, options)
    if out is not None:
        check_out(out)
    if poisoned is not None:
        check_new("--poisoned", poisoned)
    found = source(Store(how.store, create=False), key)
    chosen = found.victim if victim else found
    registry = open_registry(request.plugin, complain)
    if out is not None:
        chosen.network()  # so that one that is not there is said before the pictures are written
    if poisoned is not None:
        from bench.api import data_folder
        from bench.export.poisoned import export_poisoned
        from bench.export.workshop import workshop

        count = export_poisoned(found, poisoned, workshop(found.store, registry, data_folder(request.data), how))
        print(f"{poisoned}: {count} images")  # noqa: T201
    if out is not None:
        export_network(chosen, out, registry)
        print(out)  # noqa: T201
