"""The application layer: one file for each thing that a command does. May import every room."""
