"""Descriptions of detectors: topologies, backbones, specs, compound scaling. Imports the standard library and NumPy."""
