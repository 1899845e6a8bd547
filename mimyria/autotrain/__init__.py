"""Training that goes on until the spectrum is good enough."""
