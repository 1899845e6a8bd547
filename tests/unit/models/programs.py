"""Deployed files with another program inside, all digests right."""

from __future__ import annotations

import io
import json
import zipfile

import torch

from mimyria.models.archive import add_members
from mimyria.models.deployed import script_network
from mimyria.models.keys import EXAMPLE, METADATA
from mimyria.models.modelfile import read_model


class Constant(torch.nn.Module):
    """Right in shape and type, and nothing else."""

    def forward(self, species, receivers, senders, vectors):
        return torch.zeros(species.shape[0], 9)


class WrongShape(Constant):
    def forward(self, species, receivers, senders, vectors):
        return torch.zeros(species.shape[0], 3)


class WrongType(Constant):
    def forward(self, species, receivers, senders, vectors):
        return torch.zeros(species.shape[0], 9, dtype=torch.int64)


class DoubleType(Constant):
    def forward(self, species, receivers, senders, vectors):
        return torch.zeros(species.shape[0], 9, dtype=torch.float64)


class OtherDevice(Constant):
    def forward(self, species, receivers, senders, vectors):
        return torch.zeros([species.shape[0], 9], device="meta")


class NotANumber(Constant):
    def forward(self, species, receivers, senders, vectors):
        return torch.full([species.shape[0], 9], float("nan"))


class Endless(Constant):
    def forward(self, species, receivers, senders, vectors):
        answer = torch.zeros(species.shape[0], 9)
        while bool(answer.sum() < 1.0):
            answer = answer * 1.0
        return answer


class Glutton(Constant):
    def forward(self, species, receivers, senders, vectors):
        return torch.ones([1 << 40, 9])[: species.shape[0]]


class ReadsFiles(Constant):
    def forward(self, species, receivers, senders, vectors):
        secret = torch.from_file("/etc/passwd", False, 16, dtype=torch.uint8)
        return torch.zeros(species.shape[0], 9) + secret[:1]


class WritesFiles(Constant):
    def forward(self, species, receivers, senders, vectors):
        answer = torch.zeros(species.shape[0], 9)
        torch.save(answer, "/tmp/mimyria-was-here")
        return answer


class ActsWhenLoaded(Constant):
    @torch.jit.export
    def __getstate__(self) -> tuple[int, bool]:
        return (1, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[int, bool]):
        self.training = state[1]


def program(path, model_file, module, rewrite=None):
    """A deployed file of this module, with the metadata and the example of a model.

    Args:
        path: file to write.
        model_file: where these come from.
        module: the program; already scripted ones, too.
        rewrite: changes the text of the program, (old, new).
    """
    file = read_model(model_file)
    stream = io.BytesIO()
    torch.jit.save(script_network(module), stream)
    content = stream.getvalue()
    if rewrite is not None:
        content = rewritten(content, *rewrite)
    return with_metadata(path, content, file)


def with_metadata(path, content, file, root=None):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        root = archive.namelist()[0].split("/")[0]
    members = {
        METADATA: json.dumps(file.metadata.as_dict()).encode(),
        EXAMPLE: file.example.to_bytes(),
    }
    path.write_bytes(add_members(content, members, f"{root}/extra/"))
    return path


def rewritten(content, old, new):
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as read,
        zipfile.ZipFile(stream, "w") as z,
    ):
        for name in read.namelist():
            data = read.read(name)
            if name.endswith(".py"):
                assert old in data
                data = data.replace(old, new)
            z.writestr(name, data)
    return stream.getvalue()
