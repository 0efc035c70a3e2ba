"""What is traced once for many exports."""
