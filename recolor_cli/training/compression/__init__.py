"""Builds of a model that compute in fewer bits: int8 for CPUs, float16 for GPUs."""
