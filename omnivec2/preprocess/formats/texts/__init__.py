"""What texts are checked for, and how two texts lie in one file."""
