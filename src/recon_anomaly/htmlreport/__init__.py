"""One HTML file that shows what a detector made of pictures, and opens without a network.

`contents` says what such a page holds; `scored` makes it of a detector and a folder, `recorded` of a bench's
records; `page` writes it, and `paper` draws its plots with matplotlib.
"""
