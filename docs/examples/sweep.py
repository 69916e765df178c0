"""A sweep, and its plot: the loss against a swept number, a line for each operator."""

import matplotlib.pyplot as plt

import aes_lipi

small = {"dataset_name": "4_16_40", "population_size": 4, "learning_rate": 0.003, "epochs": 10}
swept = {"prune_method": ["random", "magnitude"], "prune_amount": [0.05, 0.2, 0.4], "trials": 2}
trials = aes_lipi.run(aes_lipi.load_study("quickstart", {**small, **swept}), "results/sweep").trials
medians = trials.pivot_table("test_L1_by_validation", "prune_amount", "prune_method", "median")
medians.plot(marker="o", ylabel="L1 on the test rows")
plt.savefig("sweep.png")
