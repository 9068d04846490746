"""The machine around a run: devices, files, the terminal, the compile cache."""
