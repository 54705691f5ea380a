"""Train networks and export them. No other package imports torch."""
