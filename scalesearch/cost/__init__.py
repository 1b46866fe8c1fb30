"""The cost of a detector, by arithmetic, and the budget for it. Imports NumPy and `arch`."""
