"""Fine-tuning: from judgements, logs or weak labels to a model that a worker can load."""
