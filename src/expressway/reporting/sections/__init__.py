"""The report's sections: what each shows, read from stores, predictions and metrics."""
