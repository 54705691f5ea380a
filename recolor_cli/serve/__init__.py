"""The server: a page for people (`studio`) and a service for programs, on one address."""
