"""One module a published format. Each has `jobs`, `write_job` (images and rows) and `write_annotations`."""
