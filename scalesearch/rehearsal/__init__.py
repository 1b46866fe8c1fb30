"""Searches simulated without training, on a landscape or a recorded table, and compared. Imports search, never torch."""
