"""i-PI as a source: its socket protocol and the client that speaks it."""
