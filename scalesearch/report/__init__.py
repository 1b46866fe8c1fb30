"""Tables, plots and the report page, made from rows; the report of results/<study>/ can be rebuilt at any time.

May import arch, cost, space, plan, records and evidence, with pandas and matplotlib; never torch or Optuna.
"""
