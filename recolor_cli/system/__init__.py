"""The operating system: files, memory, devices, threads that read ahead."""
