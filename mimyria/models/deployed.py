"""The deployed file: TorchScript of a fused network, with the model's metadata inside.

A TorchScript archive is a zip; metadata, example and the digests of all members lie in
the folder that torch keeps for files of other programs. All digests are checked, and
the program is read for what is no arithmetic, before torch sees a byte. It needs
mimyria's operator and no e3nn; files from before there was the operator hold e3nn's own
products and keep loading.
"""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from mimyria.errors import ModelError
from mimyria.files import replace_file
from mimyria.models.archive import (
    add_members,
    open_archive,
    read_members,
)
from mimyria.models.fused.operator import OPERATOR, register_operator
from mimyria.models.keys import EXAMPLE, EXTRA, METADATA
from mimyria.models.metadata import DTYPES, ModelMetadata
from mimyria.models.modelfile import (
    Example,
    fused_from_file,
    parse_members,
    read_model,
)
from mimyria.models.screening import require_arithmetic

__all__ = ["export_model", "load_deployed", "script_network"]


@contextmanager
def _silent_torchscript() -> Iterator[None]:
    """Hide that torch deprecates TorchScript: production runs load it by design."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):  # torch 2.13, 2.14
            warnings.filterwarnings("ignore", "`torch.jit", category)
        yield


def script_network(network: torch.nn.Module) -> torch.jit.ScriptModule:
    """TorchScript of a fused network."""
    with _silent_torchscript():
        scripted: torch.jit.ScriptModule = torch.jit.script(network)
    return scripted


def export_model(
    model: str | Path, deployed: str | Path, dtype: str | None = None
) -> ModelMetadata:
    """Make a deployed TorchScript file from a model file.

    Args:
        model: the long-lived model file.
        deployed: file to write.
        dtype: arithmetic of the deployed network; that of the model if left out.

    Returns:
        The metadata in the deployed file.

    Raises:
        ModelError: the model file cannot be used, or the dtype is unknown.
    """
    file = read_model(model)
    dtype = dtype or file.metadata.dtype
    if dtype not in DTYPES:
        raise ModelError(f"Cannot export as '{dtype}'; known are {list(DTYPES)}.")
    metadata = file.metadata.with_changes(dtype=dtype)
    scripted = script_network(fused_from_file(file, dtype))
    stream = io.BytesIO()
    with _silent_torchscript():
        torch.jit.save(scripted, stream)
    members = {
        METADATA: json.dumps(metadata.as_dict(), indent=1, sort_keys=True).encode(),
        EXAMPLE: file.example.to_bytes(),
    }
    root = _archive_root(stream.getvalue())
    content = add_members(stream.getvalue(), members, f"{root}/{EXTRA}")
    replace_file(Path(deployed), content)
    return metadata


def load_deployed(
    path: Path, device: torch.device
) -> tuple[torch.jit.ScriptModule, ModelMetadata, Example]:
    """Read and check a deployed file, then let torch load it.

    Raises:
        ModelError: the file is missing, altered, no deployed model, does more than
            calculate, or needs another version of the operator.
    """
    register_operator()
    content = open_archive(path)
    metadata, example = parse_members(read_members(content, path), path)
    require_arithmetic(content, path)
    try:
        with _silent_torchscript():
            scripted: torch.jit.ScriptModule = torch.jit.load(  # type: ignore[no-untyped-call]
                io.BytesIO(content), map_location=device
            )
    except (RuntimeError, ValueError) as error:
        raise _not_loadable(path, str(error).strip()) from error
    return scripted, metadata, example


def _not_loadable(path: Path, message: str) -> ModelError:
    """What torch's refusal of a whole and unaltered file means."""
    missing = re.search(r"builtin op: (mimyria::\w+)", message)
    if missing is not None:
        return ModelError(
            f"{path} needs the operator {missing[1]}, but this mimyria has {OPERATOR}. "
            "Export it again from the model file, or use the version of mimyria that "
            "made it."
        )
    return ModelError(
        f"{path}: torch {torch.__version__} cannot load this TorchScript file "
        f"({message.splitlines()[0]}). Export it again from the model file."
    )


def _archive_root(content: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return file.namelist()[0].split("/")[0]
