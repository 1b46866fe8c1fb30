"""The borders of the program: targets checked, files published whole, the cache, hashes, text fit for where it is shown.

Standard library alone; every other room may import it.
"""
