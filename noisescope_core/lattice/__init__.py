"""The lattice way of looking: what a decoder leaves in images of any size (docs/lattice.md).

A convolutional decoder is shift-equivariant up to its stride, so what it leaves that is not content
repeats: the mean tile of an image's noise, 16 x 16 pixels, is the same at every size. Modules stand
in the order of the work.

`tiles`
    The mean tile of an image.
`background`
    What photographs' tiles have in common, and how it is pressed down.
`growth`
    A set of images that share a tile, from a seed to all that belong.
`splitting`
    Sets of two makers, cut.
`evidence`
    Whose tile it is.
`discovery`
    The search of a whole pile, of all sizes at once.
`detector`
    One image against the fingerprints found.

`find` is the door: features in, fingerprints out.
"""
