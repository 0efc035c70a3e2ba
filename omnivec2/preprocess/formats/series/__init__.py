"""Time series in tables and JSON: ids, times, gaps, scale."""
