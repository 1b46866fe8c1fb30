"""A study's trials as Optuna's: mirrored in a storage for dashboards, which nothing reads back, and the importance of
their axes.

May import cost, space, records, study, evidence and Optuna.
"""
