"""From what people have on disk to a manifest, splits and a data set's configuration."""
