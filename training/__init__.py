"""Rollouts, learning and evaluation."""
