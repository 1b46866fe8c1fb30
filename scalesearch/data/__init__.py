"""data/: COCO in, batches out, and the digits detection set.

Reads any COCO-format folder (`coco`), says which images train, select and report (`sets`), decodes each image
once (`pixels`), moves and normalises batches (`augment`), and draws the data set that needs no download
(`digits`). Imports torch, NumPy and PIL (scikit-learn for its handwritten digits only), and of our own rooms
at most `arch`.
"""
