"""A parameter of one's own, `quota` of my_plugins.py, swept as a setting."""

import aes_lipi

small = {"dataset_name": "4_16_40", "population_size": 4, "learning_rate": 0.003, "epochs": 10}
operator = {"plugin": "my_plugins:small", "quota": [0.05, 0.2, 0.5]}
study = aes_lipi.load_study("quickstart", {**small, "trials": 2, "prune_method": operator})
results = aes_lipi.run(study, "results/parameter")
print(results.trials.groupby("prune_method_quota")[["test_L1_by_validation", "capacity"]].median())
