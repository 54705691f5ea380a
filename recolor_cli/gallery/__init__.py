"""The gallery: a page that shows each picture of a run before and after, and its failures."""
