"""Probes of the two silent failures of tuning: forgetting abilities of the base model, and memorising rows."""
