"""The command line: one module a group of commands, and the views for people."""
