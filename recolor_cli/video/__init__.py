"""Film in, film out: its own luma, sound and timing, new color that does not flicker."""
