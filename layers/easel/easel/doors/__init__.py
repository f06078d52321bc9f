"""The doors: where Lambda's events stop, and requests begin."""
