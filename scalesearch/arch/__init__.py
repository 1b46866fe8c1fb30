"""What a detector is and what it costs. Standard library and NumPy only; never torch."""
