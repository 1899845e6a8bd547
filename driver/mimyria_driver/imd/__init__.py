"""Engines with a server of IMD version 3, the protocol for interactive dynamics."""
