"""Tables of results: cells, formats, published numbers beside ours."""
