"""A rule of one's own: end a trial once its cells are good enough."""

import aes_lipi


class GoodEnough(aes_lipi.Callback):  # noqa: D101
    def on_generation(self, generation):  # noqa: D102
        return "trial" if generation.cells["mean_L1"].mean() < 0.25 else None


small = {"dataset_name": "4_16_40", "learning_rate": 0.003, "record_interval": 5, "trials": 1}
study = aes_lipi.load_study("quickstart", {**small, "population_size": 4})
print(aes_lipi.run(study, callbacks=[GoodEnough()]).trials[["stopped", "epochs_run"]])
