import torch

from benchmarks.ports.torch import edit_distance

row = torch.compile(edit_distance.row)


def run(a, b):
    return edit_distance.run(a, b, row)
