"""The application layer: one file for each thing that a command does. With `cli` the only room that may import every other."""
