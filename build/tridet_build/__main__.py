"""``python -m tridet_build``."""

from tridet_build._cli import main

main()
