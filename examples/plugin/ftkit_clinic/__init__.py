"""Extensions of ftkit for a clinic: one module for each kind. Nothing is imported here, so that ftkit stays light."""
