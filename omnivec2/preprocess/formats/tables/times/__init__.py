"""Time in tables: dates in text, epochs and other numbers, the order and spacing of rows."""
