"""`python -m simpleml` is the command line."""

from simpleml.cli import main

if __name__ == "__main__":
    main()
