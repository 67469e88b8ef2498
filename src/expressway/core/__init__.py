"""What every room stands on: tables, files, errors, jobs. It never decides what is computed."""
