"""Builds of a model that compute in fewer bits: int8 for CPUs, float16 for GPUs."""

import recolor_cli.model  # noqa: F401, it keeps ONNX Runtime from reporting, so it comes first
