"""A trial in a loop of one's own: look at every generation, stop, and keep the best model."""

import aes_lipi

small = {"dataset_name": "4_16_40", "population_size": 4, "learning_rate": 0.003}
variant = aes_lipi.load_study("quickstart", {**small, "epochs": 50}).variants[0]
for state in aes_lipi.evolve(variant, trial=0):
    print(state.generations, state.losses.min(), state.cells.shape)
    if state.losses.min() < 0.2:
        break
aes_lipi.save_model("good_enough.safetensors", state.model())
