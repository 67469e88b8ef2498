"""Face parsers: ``regions`` (no weights), ``transformers`` (any segmentation model), ``import``."""
