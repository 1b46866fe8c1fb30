"""A task (spec, recipe, seed) in, a learning curve and a checkpoint out. Imports nn, data and plan."""
