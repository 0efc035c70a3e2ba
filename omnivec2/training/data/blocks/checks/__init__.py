"""What is wrong with data, and what makes its figures doubtful, before anything is trained."""
