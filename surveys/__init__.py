"""A night at the microscope."""
