"""The page on which people choose colors and steer by hand."""
