"""From a model and noise to votes and scores: batches, schedule, one session a device."""
