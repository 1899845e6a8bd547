"""Settings of commands and services: TOML tables read into frozen dataclasses."""
