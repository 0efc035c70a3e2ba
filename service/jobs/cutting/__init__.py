"""Long recordings are cut in a process of their own, whose memory is bounded."""
