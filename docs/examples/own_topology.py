"""Topologies side by side: a ring, a star, and one of one's own, of my_graphs.py."""

import aes_lipi

small = {"dataset_name": "4_16_40", "population_size": 8, "learning_rate": 0.003, "epochs": 10}
own = {"plugin": "my_graphs:shortcuts", "n": 3}
fields = {**small, "prune_method": "None", "topology": ["ring", "star", own]}
results = aes_lipi.run(aes_lipi.load_study("quickstart", fields), "results/topology")
print(results.trials.groupby("variant_name")["test_L1_by_validation"].median())
