"""Whose pattern it is: a generator's, a device's, of processing, or laid over the pictures."""
