"""A stored network as a file of its own: safetensors, or ONNX."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bench.errors import RequestError, one_line, shortened
from bench.export.metadata import NORMALISES, metadata
from bench.export.new_files import check_new, new_file
from bench.export.origin import Origin, origin
from bench.export.sources import Source
from bench.plan.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.imported.network import Applied

SUFFIXES = (".safetensors", ".onnx")
_ONNX_PACKAGES = ("onnx", "onnxscript")


def check_out(path: Path) -> None:
    """Raises RequestError unless a network can be written to ``path``: its name, what is there, what is installed."""
    if path.suffix not in SUFFIXES:
        raise RequestError(f"--out {shortened(str(path))}: expected a name that ends in {' or '.join(SUFFIXES)}")
    check_new("--out", path)
    if path.is_dir():
        raise RequestError(f"--out {shortened(str(path))}: is a directory, expected a new file")
    if path.suffix == ".onnx" and (missing := [name for name in _ONNX_PACKAGES if find_spec(name) is None]):
        raise RequestError(
            f"--out {shortened(str(path))}: needs the package {missing[0]}: pip install {' '.join(_ONNX_PACKAGES)}"
        )


def export_network(source: Source, path: Path, registry: Registry) -> None:
    """Write the network of ``source`` to ``path``, which ``check_out`` has passed, with its provenance in it.

    Raises RequestError for a network that is not there, or that is not its architecture with other weights where
    ONNX needs to run it. Then nothing is written.
    """
    tensors, made = source.network(), origin(source)
    said = metadata(source, made)
    if path.suffix == ".safetensors":
        from safetensors.torch import save

        if made.applied is not None:
            tensors, said = _normalising(tensors, made.applied, said)
        content = save({name: value.contiguous() for name, value in tensors.items()}, {"format": "pt", **said})
        with new_file(path) as draft:
            draft.write_bytes(content)
        return
    network = _built(made, registry)
    try:
        network.load_state_dict(tensors)
    except RuntimeError:
        raise RequestError(
            f"export {source.key[:12]}: its network has other tensors than {made.labels['model']}, so it cannot be "
            "built again for ONNX; expected --out NAME.safetensors"
        ) from None
    _write_onnx(network.eval(), path, made, registry, said)


def _normalising(
    tensors: "dict[str, Tensor]", applied: "Applied", said: dict[str, str]
) -> "tuple[dict[str, Tensor], dict[str, str]]":
    """The tensors of a victim made elsewhere as a network of ours has them, with the mean and std that it expects.

    As they are where the architecture has no place for these, or where the channels come in another order.
    """
    import torch

    plain = {name.removeprefix("net."): value for name, value in tensors.items()}
    if not {"mean", "std"} <= set(plain) or applied.order != "rgb":
        return tensors, said
    own = {name: torch.tensor(getattr(applied, name)).view_as(plain[name]) for name in ("mean", "std")}
    return {**plain, **own}, {**said, "input": NORMALISES}


def _built(made: Origin, registry: Registry) -> "nn.Module":
    from bench.imported.network import built
    from bench.plugin.model import Model

    model = cast(Model, made.plugin("model", registry))
    with registry.asking("model", model.name, "build"):
        return built(model, made.spec(registry), made.applied)


def _write_onnx(network: "nn.Module", path: Path, made: Origin, registry: Registry, said: dict[str, str]) -> None:
    import torch

    example = torch.zeros(2, *made.spec(registry).shape)
    shapes = ({0: torch.export.Dim("images", min=1)},)
    try:
        program = torch.onnx.export(
            network,
            (example,),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )
    except Exception as error:  # whatever an operation that ONNX does not know makes of it
        raise RequestError(f"--out {shortened(str(path))}: cannot be written as ONNX: {one_line(error)}") from error
    assert program is not None
    program.model.metadata_props.update(said)
    with new_file(path) as draft:
        program.save(draft, external_data=False)
