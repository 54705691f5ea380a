"""Model files: what they say of themselves, and running them with ONNX Runtime."""
