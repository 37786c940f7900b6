"""Images in figures."""

import numpy as np
from matplotlib.axes import Axes

from tfp_bnn.plots.style import DARK, ORANGE, RED

TRUE_CLASS = {"facecolor": ORANGE, "alpha": 0.25, "lw": 0}


def as_picture(image: np.ndarray) -> np.ndarray:
    """Returns the image with pixels from 0 to 1."""
    if np.issubdtype(image.dtype, np.integer):
        return image / 255
    least, greatest = image.min(), image.max()
    within = least >= 0 and greatest <= 1
    return image if within else (image - least) / max(greatest - least, np.finfo("float32").tiny)


def draw_image(axes: Axes, image: np.ndarray, caption: str, true: str | None, wrong: bool) -> None:
    """Draws an image over a caption, which is red if the prediction is wrong, and under its true class, if known."""
    axes.imshow(as_picture(image), cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel(caption, fontsize="small", color=RED if wrong else DARK)
    if true is not None:
        axes.set_title(f"true {true}", fontsize="small", y=1, bbox={**TRUE_CLASS, "pad": 1.5})
