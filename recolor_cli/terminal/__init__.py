"""What people see and pipe: messages, the progress bar, standard streams."""
