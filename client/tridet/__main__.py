"""``python -m tridet``: the command ``tridet``."""

from tridet._cli import main

if __name__ == "__main__":
    main()
