"""The data plane: plan, work and reduce an evaluation, on a laptop and in pods."""

__version__ = "0.1.0"
