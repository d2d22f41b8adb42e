"""The default method, whitened colour planes; its packages stand in the order of docs/method.md.

`planes`
    What is stored of an image: `whitening` turns its residuals into a feature in the order that
    `bands` lays out; `products` and `pair_correlations` compare features band by band,
    `duplicates` sets copies aside.
`discovery`
    Sets of images that share more than chance allows: `correlations` arranges what is compared,
    `candidates` says where sets start, `growth` who else belongs, `cohesion` and `acceptance` which
    sets are more than chance, `splitting` cuts those of two generators, `patterns` runs all of this
    and gives each pattern its bar by `confidence`.
`makers`
    Whose pattern it is: `evidence`, and `overlay`, which uncovers what lies beneath a logo.
`detection`
    Every image tested in place (`detector`) and at all shifts (`alignment`), and explained.
`piles`
    Large piles: a sample drawn by `directions` or `shards` before the search, and what it costs.

`find` is the whole search among the images of one size, `method` the record that the rest of the
program goes by, `words` what the report says.
"""
