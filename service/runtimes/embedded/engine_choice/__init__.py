"""The choice of an engine and a precision, by what they take and err on this machine."""
