"""Where the network runs: in this process (``embedded``) or behind a protocol."""
