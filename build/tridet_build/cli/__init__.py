"""The command line ``tridet-build``."""
