"""Encoded pictures to pixels and back: one module a file format, metadata, color profiles."""
