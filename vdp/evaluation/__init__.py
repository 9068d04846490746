"""What is estimated of a checkpoint, how it is reported, and what a stopped evaluation keeps."""
