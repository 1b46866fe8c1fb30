"""Mirror of a study's trials in an Optuna storage, for dashboards; nothing reads it back.

May import cost, space, records, study and Optuna.
"""
