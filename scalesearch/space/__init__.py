"""The axes of a search space, and its candidates inside a budget. Imports NumPy, `arch` and `cost`."""
