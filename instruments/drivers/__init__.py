"""Drivers of microscopes, by name."""
