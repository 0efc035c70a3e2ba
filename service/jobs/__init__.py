"""Long work as jobs: requests that are kept in a store, answered later, and polled for."""
