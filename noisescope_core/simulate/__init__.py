"""Simulated photographs and generated images: a dump to try NoiseScope on without any data."""

from noisescope_core.simulate.camera import Camera, build_camera, photograph
from noisescope_core.simulate.dump import write_dump
from noisescope_core.simulate.generator import Generator, build_generator, generate
from noisescope_core.simulate.scene import scene

__all__ = [
    "Camera",
    "Generator",
    "build_camera",
    "build_generator",
    "generate",
    "photograph",
    "scene",
    "write_dump",
]
