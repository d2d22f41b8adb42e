"""Simulated photographs and generated images: a dump to try NoiseScope on without any data."""

from noisescope_core.simulate.any_size import AnySizeWorld
from noisescope_core.simulate.camera import Camera, build_camera, photograph
from noisescope_core.simulate.decoder import Decoder, build_decoder, decode_scene
from noisescope_core.simulate.dump import Dump, jpeg_file, write_dump
from noisescope_core.simulate.generator import Generator, Upsampling, build_generator, generate
from noisescope_core.simulate.processing import rescaled, rounded_down
from noisescope_core.simulate.scene import scene
from noisescope_core.simulate.world import Kind, World, simulated_image, source_of

__all__ = [
    "AnySizeWorld",
    "Camera",
    "Decoder",
    "Dump",
    "Generator",
    "Kind",
    "Upsampling",
    "World",
    "build_camera",
    "build_decoder",
    "build_generator",
    "decode_scene",
    "generate",
    "jpeg_file",
    "photograph",
    "rescaled",
    "rounded_down",
    "scene",
    "simulated_image",
    "source_of",
    "write_dump",
]
