"""mimyria-driver: the service that listens to an MD engine and streams spectra."""
