"""What a user adds to a network's answer: variants, palettes, hints, and how sure the network is.

Rooms of arrays (`smoothing`, `variants`, `palette`, `hints`, `confidence`) and two that read what a
user gives (`palette_files`, `hint_files`).
"""
