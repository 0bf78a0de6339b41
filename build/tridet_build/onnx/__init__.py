"""From weights to a serving graph."""
