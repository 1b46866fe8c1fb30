"""Rows into tables, a picture and a page; results/<study>/ is rebuilt from its rows at any time.

Imports records, evidence, plan and arch, pandas and matplotlib; never torch or Optuna.
"""
