"""Frozen data that the verbs return: reports, comparisons, plans."""
