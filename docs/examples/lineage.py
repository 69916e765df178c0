"""Where an encoder comes from: the line of cells that a trial's answer descends from."""

import aes_lipi
from aes_lipi.analysis import read_history

small = {"dataset_name": "4_16_40", "population_size": 6, "learning_rate": 0.003, "epochs": 12}
study = aes_lipi.load_study("quickstart", {**small, "trials": 1, "prune_method": "None"})
results = aes_lipi.run(study, "results/lineage")
history = read_history("results/lineage", study.variants[0].id, 0)
for generation, cell in history.line_of(int(results.trials["best_cell"][0])):
    print(f"generation {generation}: cell {cell}")
