"""The course around the code: the stage map, the scaffold, and what `python -m course` does. What all share is here."""
