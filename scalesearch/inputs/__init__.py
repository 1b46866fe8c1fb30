"""inputs/: texts that a user gives, read within bounds: JSON, its types, quotes of it in messages. Imports no other room."""
