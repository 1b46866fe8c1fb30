"""What a detector costs, and the budget that it is held to. Imports the standard library, NumPy and arch."""
