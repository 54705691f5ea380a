"""Color arithmetic, pure: arrays in, arrays out."""
