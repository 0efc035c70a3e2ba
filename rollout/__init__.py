"""Adding heads to running servers, and removing them."""
