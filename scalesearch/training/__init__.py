"""A spec and a recipe in, points of a learning curve and a checkpoint out. Imports nn, data and plan."""
