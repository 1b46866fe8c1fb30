"""plan/: what a user asks for: the strict reader, Plan, Recipe, Task. Standard library, PyYAML and arch."""
