"""Color arithmetic: arrays in, arrays out. No module here reads files or prints."""
