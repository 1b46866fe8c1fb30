"""What a terminal shows: progress and tables. Imports rich, arch, cost and space."""
