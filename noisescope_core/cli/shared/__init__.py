"""What the commands share: options, help, errors and exit codes, output, Spark's start."""
