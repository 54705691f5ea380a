"""Messages, the progress bar and the standard streams."""
