"""A simulated microscope on a procedural specimen with known truth."""
