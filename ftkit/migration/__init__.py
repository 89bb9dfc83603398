"""Replace a tuned model by another: frozen answers, candidates, and a certificate of which may take over."""

from ftkit.migration.costs import MigrationCosts, StepCost
from ftkit.migration.runner import migrate
from ftkit.results.certificate import Candidate, Certificate

__all__ = ["Candidate", "Certificate", "MigrationCosts", "StepCost", "migrate"]
