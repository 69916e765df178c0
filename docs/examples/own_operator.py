"""A pruning operator of one's own, of my_plugins.py, beside a built-in one."""

import aes_lipi

small = {"dataset_name": "4_16_40", "population_size": 4, "learning_rate": 0.003, "epochs": 10}
fields = {**small, "trials": 2, "prune_method": ["random", "my_plugins:small"]}
results = aes_lipi.run(aes_lipi.load_study("quickstart", fields), "results/operator")
print(results.trials.groupby("variant_name")[["test_L1_by_validation", "capacity"]].median())
