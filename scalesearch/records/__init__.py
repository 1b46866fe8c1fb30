"""records/: what came out: rows, the folder that holds them, the front. May import arch and plan."""
