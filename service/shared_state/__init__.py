"""What several gateways share in a Valkey or Redis: a client that never makes a request fail."""
