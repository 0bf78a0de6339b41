"""``python -m tridet``: the command ``tridet``."""

from tridet.cli.main import main

if __name__ == "__main__":
    main()
