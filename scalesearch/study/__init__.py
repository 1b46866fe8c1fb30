"""The search: proposals inside the band, samplers, successive halving and the driver.

May import arch, cost, space, plan, records, execute and Optuna; never torch. An executor is passed in to train.
"""
