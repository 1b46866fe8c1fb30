"""Output and side effects: checked targets, atomic writes, the cache, hashes, escaped text.

Standard library only; every other room may import it.
"""
