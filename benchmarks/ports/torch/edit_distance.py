import torch


def row(above, i, letter, b, places):
    best = torch.minimum(above[1:] + 1, above[:-1] + (b != letter))
    # What comes from the left: one more for each step.
    return torch.cummin(torch.cat([i[None], best]) - places, 0).values + places


def run(a, b, row=row):
    a = torch.frombuffer(bytearray(a.encode()), dtype=torch.uint8)
    b = torch.frombuffer(bytearray(b.encode()), dtype=torch.uint8)
    places = torch.arange(len(b) + 1)
    lines = [places]
    for i, letter in zip(torch.arange(1, len(a) + 1), a, strict=True):
        lines.append(row(lines[-1], i, letter, b, places))
    d = torch.stack(lines)
    return d[-1, -1], d
