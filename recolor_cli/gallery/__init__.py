"""The page that shows a batch: before and after of each picture, and what failed."""
