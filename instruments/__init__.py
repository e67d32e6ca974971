"""Everything that is, or acts as, a microscope."""
