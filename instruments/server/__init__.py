"""The driver server: runs on the instrument's own computer, with nothing but Python 3.8 or newer and numpy."""
