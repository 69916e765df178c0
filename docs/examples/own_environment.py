"""An environment of one's own, of my_plugins.py: another shape of autoencoder."""

import aes_lipi

small = {"dataset_name": "4_16_40", "population_size": 4, "learning_rate": 0.003, "epochs": 10}
fields = {**small, "trials": 2, "environment": "my_plugins:shallow", "prune_method": "None"}
results = aes_lipi.run(aes_lipi.load_study("quickstart", fields), "results/environment")
print(results.trials[["architecture", "n_parameters", "test_L1_by_validation"]])
