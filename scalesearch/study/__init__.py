"""Which candidate comes next, and who trains it: proposals inside the band, the driver, the ledger.

Imports arch, plan, records and Optuna; never torch. The training itself comes in as a function.
"""
