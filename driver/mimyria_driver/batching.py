"""Batching: which waiting frames are evaluated together.

Sums over a batch round differently from those over a part of it, so what is in a batch
depends on the steps of its frames and on nothing else: with size B and stride s those
of step k B s to (k B + B − 1) s. Only where nothing comes that would fill it does a
shorter one go.
"""

from __future__ import annotations

from collections import deque

from mimyria_driver.pending import Pending

__all__ = ["take_batch"]


def take_batch(
    waiting: deque[Pending], size: int, stride: int, *, hurry: bool
) -> list[Pending]:
    """Take the next batch from the frames that wait; empty: not yet.

    Args:
        waiting: in the order of arrival; what is taken is removed.
        size: frames of a full batch.
        stride: steps from one frame to the next.
        hurry: take what there is, since no more will come.
    """
    batch: list[Pending] = []
    index = -1
    for pending in waiting:
        before, index = index, pending.frame.step // stride
        # Steps that go back are another branch of the run.
        if batch and (index // size != before // size or index <= before):
            break
        batch.append(pending)
    else:
        if not hurry and (index + 1) % size:
            return []
    for _ in batch:
        waiting.popleft()
    return batch
