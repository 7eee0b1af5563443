"""``python -m corpuscle``."""

from corpuscle.cli import main

if __name__ == "__main__":
    main()
