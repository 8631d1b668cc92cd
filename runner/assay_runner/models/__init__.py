"""Brings models from object storage and from the hub to a folder of this machine, once for all processes that share it."""
