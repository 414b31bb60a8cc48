"""The report: tables, curves and the page."""
