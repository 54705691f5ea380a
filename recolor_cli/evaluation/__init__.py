"""How good the colors are: metrics and tables. May import the runtime rooms, never the reverse."""
