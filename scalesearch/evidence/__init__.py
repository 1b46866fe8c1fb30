"""What the rows prove and how surely: pure functions over rows. Imports records, plan, arch."""
