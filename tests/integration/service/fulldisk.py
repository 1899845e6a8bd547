"""A disk without room for the journal, in this process."""

from __future__ import annotations

import errno
import os


class FullFrom:
    """No room for what goes into the journal, from one write on, while it is to be."""

    def __init__(self, monkeypatch, directory, n, full=lambda: True):
        self.hits = 0
        self._left = n
        self._full = full
        self._journal = directory / "journal"
        self._write = os.write
        monkeypatch.setattr(os, "write", self)

    def __call__(self, descriptor, data):
        try:
            journal = os.path.samestat(os.fstat(descriptor), os.stat(self._journal))
        except OSError:
            journal = False
        if journal:
            self._left -= 1
        if journal and self._left < 0 and self._full():
            self.hits += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._write(descriptor, data)
