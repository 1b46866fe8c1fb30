"""The axes of a search space, and the candidates of it that are inside a budget. Imports NumPy, arch and cost."""
