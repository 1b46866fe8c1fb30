"""A study's trials mirrored into an Optuna storage, for dashboards. Nothing reads it back. Imports Optuna and search."""
