"""A spec as torch modules: backbone, feature network, heads. May import arch, torch and timm; never plan or records."""
