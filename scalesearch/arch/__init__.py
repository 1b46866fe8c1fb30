"""What a detector is: feature networks, backbones, specs, compound scaling. Imports the standard library and NumPy."""
