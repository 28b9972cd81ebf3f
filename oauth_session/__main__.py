"""`python -m oauth_session`."""

from .cli import main

if __name__ == "__main__":
    main()
