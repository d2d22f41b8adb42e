"""`python -m noisescope_core.cli`."""

from noisescope_core.cli import main

if __name__ == "__main__":
    main()
