"""What raises the drift of heads, what does not, and what feedback says of them."""
