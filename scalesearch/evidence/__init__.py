"""Statistics over rows: noise between seeds, rank correlation, and scaling laws. Pure functions. May import records."""
