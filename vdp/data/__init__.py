"""Images: sources on disk, the splits a run works on, and batches on the device."""
