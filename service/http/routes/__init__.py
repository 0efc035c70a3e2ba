"""Thin routes: they translate HTTP and delegate."""
