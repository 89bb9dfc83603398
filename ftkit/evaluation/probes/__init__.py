"""Probes of the two silent failures of tuning: forgetting what the base could do, and learning rows by heart."""
