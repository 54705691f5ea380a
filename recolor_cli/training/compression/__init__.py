"""Smaller builds of a model: 8-bit and half-precision numbers."""
