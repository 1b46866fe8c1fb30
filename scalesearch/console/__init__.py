"""Terminal output: progress and tables. May import arch, cost, space and rich."""
