"""Two versions of a head: who gets which, what differs, and when the new one is rolled back."""
