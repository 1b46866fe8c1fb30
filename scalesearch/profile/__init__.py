"""Measurements that arithmetic cannot replace: traces that check prices, timm's models, latency on this machine.

May import arch, cost, nn, torch, timm and (inside functions) fvcore.
"""
