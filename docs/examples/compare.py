"""Two studies compared: labels say what differs, and tests which of it is shown."""

import aes_lipi
from aes_lipi.analysis import compare, generation_samples, read_measurements

small = {"dataset_name": "4_16_40", "population_size": 5, "learning_rate": 0.003, "epochs": 10}
fields = {**small, "trials": 6, "prune_method": "None"}
for radius in (0, 2):
    study = aes_lipi.load_study("quickstart", {**fields, "radius": radius})
    aes_lipi.run(study, f"results/radius_{radius}")
data = read_measurements(["results/radius_0", "results/radius_2"])
print(compare(generation_samples(data, "mean_L1")).table[["label_a", "label_b", "a12", "verdict"]])
