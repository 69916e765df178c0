"""A schedule of one's own, of my_plugins.py, beside a built-in one."""

import aes_lipi

small = {"dataset_name": "4_16_40", "population_size": 4, "learning_rate": 0.003, "epochs": 10}
fields = {**small, "prune_method": "random", "prune_schedule": ["fixed", "my_plugins:late"]}
results = aes_lipi.run(aes_lipi.load_study("quickstart", fields), "results/schedule")
print(results.generations.groupby("variant_name")["prune_event"].sum())
