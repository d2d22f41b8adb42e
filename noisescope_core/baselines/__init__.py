"""Rivals that NoiseScope is held against: other ways to find generated images without labels."""
