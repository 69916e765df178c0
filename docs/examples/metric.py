"""A metric of one's own, my_metrics.py, as the column `metric_worst_column` of `generations`."""

import aes_lipi

small = {"dataset_name": "4_16_40", "population_size": 4, "learning_rate": 0.003, "epochs": 10}
fields = {**small, "trials": 2, "record_interval": 5, "metrics": "my_metrics:worst_column"}
results = aes_lipi.run(aes_lipi.load_study("quickstart", fields), "results/metric")
recorded = results.generations.dropna(subset="metric_worst_column")
print(recorded.groupby("generation")["metric_worst_column"].median())
