"""Pictures in pages: curves, film strips, planes."""
