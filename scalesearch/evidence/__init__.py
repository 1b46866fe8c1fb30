"""Statistics over rows: noise between seeds, and rank correlation. Pure functions. May import records."""
