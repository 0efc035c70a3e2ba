"""Backbones: published weights of other networks, and where their tensors go in this one."""
