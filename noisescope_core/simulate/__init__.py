"""Simulated photographs and generated images: a dump to try NoiseScope on without any data."""

from noisescope_core.simulate.camera import Camera, build_camera, photograph
from noisescope_core.simulate.dump import Dump, jpeg_file, write_dump
from noisescope_core.simulate.generator import Generator, Upsampling, build_generator, generate
from noisescope_core.simulate.scene import scene
from noisescope_core.simulate.world import Kind, World, simulated_image, source_of

__all__ = [
    "Camera",
    "Dump",
    "Generator",
    "Kind",
    "Upsampling",
    "World",
    "build_camera",
    "build_generator",
    "generate",
    "jpeg_file",
    "photograph",
    "scene",
    "simulated_image",
    "source_of",
    "write_dump",
]
