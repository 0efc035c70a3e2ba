"""The Helm chart's generated files, and its verification."""
