"""What foveate-tiny is asked: one file per family of pictures, and what they share."""
