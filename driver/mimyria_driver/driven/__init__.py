"""Dynamics driven by our tensors: i-PI asks at every step and waits for the answer.

Unlike a run for spectra nothing is kept and nothing may be late: the tensors of a
configuration go back with the reply to it.
"""
