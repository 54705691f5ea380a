"""One file a command of the program; each imports its heavy rooms when it runs."""
