"""What is kept of a measurement: answers, figures with their conditions, and looks at tests."""
