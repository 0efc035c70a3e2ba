"""Tables: CSV, JSON and Parquet into one frame of columns, and the time axis within it."""
