"""A black bar across the picture."""


def black_bar(image, rng, height=0.2):
    row = int(rng.integers(image.shape[0]))
    rows = slice(row, row + max(1, round(height * image.shape[0])))
    corrupted = image.copy()
    corrupted[rows] = 0
    return corrupted, (corrupted != image).any(-1)
