"""A study whose trials stop early, each with the cells of its best generation."""

import aes_lipi

small = {"dataset_name": "4_16_40", "population_size": 4, "learning_rate": 0.02}
rule = {"patience": 2, "record_interval": 2, "epochs": 200, "trials": 2, "prune_method": "None"}
results = aes_lipi.run(aes_lipi.load_study("quickstart", {**small, **rule}), "results/early")
print(results.trials[["epochs_run", "stopped", "best_generation", "test_L1_by_validation"]])
