"""Pictures of a checkpoint, as PNG, PDF or SVG."""
