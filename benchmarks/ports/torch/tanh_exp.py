import torch
from torch import from_numpy


def work(a, b):
    return torch.tanh(a * b + a) - torch.exp(-b)


def run(a, b):
    return work(from_numpy(a), from_numpy(b))
