"""Answers to files on the command line: by this process, a server, a stream or a job."""
