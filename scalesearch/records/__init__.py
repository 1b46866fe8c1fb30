"""Results: the row of each training, the study's folder, trials and the front. May import arch, space and plan."""
