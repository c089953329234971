"""Storage-placement control plane: one policy says which host keeps which data on which disk."""

__version__ = "0.1.0"
