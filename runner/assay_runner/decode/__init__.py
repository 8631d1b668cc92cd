"""Encoded media made into what models read: pictures, frames, samples of sound. Pure functions of the bytes."""
