"""The command line ``tridet``."""
