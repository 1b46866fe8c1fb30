"""A user's input as data: the strict YAML reader, `Plan`, `Recipe`, `Task`. Imports `arch`, `cost`, `space`, PyYAML."""
