"""``python -m netsmith`` is the command ``netsmith``."""

from .cli import main

if __name__ == "__main__":
    main()
