"""What cells and names mean: numbers as people write them, columns under other names."""
