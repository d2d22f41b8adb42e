"""`python -m noisescope_core.cli`."""

from noisescope_core.cli import main

main()
