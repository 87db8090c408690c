"""Data to learn from: MNIST and CIFAR-10 from their files, digits that need no file, and generated problems.

    split = images()              # scikit-learn's digits
    split = images("mnist/")      # whichever set the folder holds
    x, y = split.x_train, split.y_train

Nothing is downloaded. A set that is not there is an error that says where it comes from; a file that is not the
published one is an error that says so.
"""

from minpy.utils.data.bundled import digits
from minpy.utils.data.cifar import CIFAR10, cifar10
from minpy.utils.data.generated import adding_problem_generator, gaussian_cluster_generator
from minpy.utils.data.idx import MNIST, mnist, read_idx
from minpy.utils.data.sets import Images, images
from minpy.utils.data.tiny_imagenet import TinyImageNet, load_tiny_imagenet

__all__ = [
    "CIFAR10",
    "MNIST",
    "Images",
    "TinyImageNet",
    "adding_problem_generator",
    "cifar10",
    "digits",
    "gaussian_cluster_generator",
    "images",
    "load_tiny_imagenet",
    "mnist",
    "read_idx",
]
