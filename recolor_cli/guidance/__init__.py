"""Users' choices for a network's distribution: variants, palettes, hints, and its confidence.

Only `palette_files` and `hint_files` read files.
"""
