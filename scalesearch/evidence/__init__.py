"""Statistics over rows: noise between seeds, rank correlation, audits of proxies, and scaling laws. Pure functions. May import records."""
