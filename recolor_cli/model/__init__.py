"""Model files: their manifests, where they are found, and how ONNX Runtime runs them."""

import os

# ONNX Runtime would keep a number of this machine in the user's cache, and send what it runs, with
# hashes of the weights, to its makers. It looks once, so this comes before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
