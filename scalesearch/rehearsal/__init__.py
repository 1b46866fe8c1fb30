"""Rehearsals: searches on a surrogate (a landscape or a recorded table) without training, and their comparison.

May import study, execute, evidence and the rooms below them; never torch.
"""
