"""What is known of the learner's work: TODO regions, the record of what was green, where one stands, backups."""
