"""data/: COCO in, batches out, and the digits detection set.

Reads any COCO-format folder (`coco`), assigns its splits to training, selection and reporting (`sets`), decodes each
image once (`pixels`), augments and normalises batches (`augment`), and draws a data set that needs no download
(`digits`). May import torch, NumPy, PIL, scikit-learn (for its handwritten digits only), and the room `arch`.
"""
