"""The commands of the program, one module each, with the option groups that they share.

A module imports slow packages inside its functions, so that a start loads only what it needs.
"""
