"""Measurements: figures are medians, and ratios of things measured in one run."""
