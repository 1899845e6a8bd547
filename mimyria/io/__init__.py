"""Trajectories and labels in text files."""

from mimyria.io.extxyz import LabelledFrame, read_extxyz, write_extxyz

__all__ = ["LabelledFrame", "read_extxyz", "write_extxyz"]
