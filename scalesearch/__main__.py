"""`python -m scalesearch`, which torchrun can start: `torchrun --nproc-per-node 2 -m scalesearch train ...`."""

from __future__ import annotations

from scalesearch.cli import main

if __name__ == "__main__":
    main()
