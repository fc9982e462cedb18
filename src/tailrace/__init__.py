"""tailrace: every entry of a Hyperliquid node's hourly files, in MongoDB, provably all of it."""

__version__ = "0.1.0"
