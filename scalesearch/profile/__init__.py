"""What cannot be derived by arithmetic: the traced oracle of prices, measurements of timm's models.

May import arch, nn, torch, timm and (inside one function) fvcore.
"""
