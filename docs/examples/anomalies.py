"""Outliers among rows of one's own, and the columns that make each one strange."""

from sklearn.datasets import load_breast_cancer

from aes_lipi import AutoencoderRing

data = load_breast_cancer()
benign, malignant = data.data[data.target == 1], data.data[data.target == 0]
ring = AutoencoderRing(contamination=0.05, random_state=0).fit(benign)
print(f"outliers: {(ring.predict(benign) == -1).mean():.0%} of the benign samples")
print(f"and {(ring.predict(malignant) == -1).mean():.0%} of the malignant ones")
worst = ring.model_.errors(malignant)[ring.score_samples(malignant).argmin()].argmax()
print("the strangest one is strange by its", data.feature_names[worst])
