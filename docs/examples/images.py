"""Images: the handwritten digits of scikit-learn, 8 x 8, and what is left of them."""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from aes_lipi import AutoencoderRing

images = load_digits().data
ring = AutoencoderRing(latent_size=16, random_state=0).fit(images)
rows = images[:8], ring.inverse_transform(ring.transform(images[:8]))
figure, axes = plt.subplots(2, 8, figsize=(8, 2), subplot_kw={"xticks": [], "yticks": []})
for place, row in zip(axes.flat, [row for each in rows for row in each], strict=True):
    place.imshow(row.reshape(8, 8), cmap="gray")
figure.savefig("images.png")
