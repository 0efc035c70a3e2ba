"""Admission control: how much work the gateway accepts at a time, and what a request costs."""
