"""``python -m tridet_build``."""

from tridet_build.cli.main import main

main()
