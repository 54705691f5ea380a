"""Many pictures: planning, running in threads or processes, reporting."""
