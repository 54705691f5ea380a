"""Measure the colors of models: figures, tables and sheets of pictures."""
