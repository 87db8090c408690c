"""The workloads as NumPy programs have them; nothing here knows of derivatives."""

import numpy as np


def cross_entropy(scores, labels):
    scores = scores - np.max(scores, axis=1, keepdims=True)
    log_p = scores - np.log(np.sum(np.exp(scores), axis=1, keepdims=True))
    return -np.mean(log_p[np.arange(len(labels)), labels])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def logistic(w, b, x, labels):
    return cross_entropy(x @ w + b, labels)


def mlp(w1, b1, w2, b2, x, labels):
    hidden = np.maximum(x @ w1 + b1, 0)
    return cross_entropy(hidden @ w2 + b2, labels)


def rnn(wx, wh, b, x):
    h = np.zeros((x.shape[1], wh.shape[0]), x.dtype)
    for step in x:
        h = np.tanh(step @ wx + h @ wh + b)
    return np.mean(h**2)


def lstm(wx, wh, b, x):
    size = wh.shape[0]
    h = np.zeros((x.shape[1], size), x.dtype)
    c = np.zeros((x.shape[1], size), x.dtype)
    for step in x:
        gates = step @ wx + h @ wh + b
        i = sigmoid(gates[:, :size])
        f = sigmoid(gates[:, size : 2 * size])
        o = sigmoid(gates[:, 2 * size : 3 * size])
        g = np.tanh(gates[:, 3 * size :])
        c = f * c + i * g
        h = o * np.tanh(c)
    return np.mean(h**2)


def small(x, a, b):
    for _ in range(125):
        x = np.sin(x)
        x = x * a
        x = x + b
        x = x * x
    return np.sum(x)


def jacobi_2d(u):
    a = u.copy()
    b = u.copy()
    for _ in range(25):
        b[1:-1, 1:-1] = 0.2 * (a[1:-1, 1:-1] + a[:-2, 1:-1] + a[2:, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:])
        a[1:-1, 1:-1] = 0.2 * (b[1:-1, 1:-1] + b[:-2, 1:-1] + b[2:, 1:-1] + b[1:-1, :-2] + b[1:-1, 2:])
    return np.mean(a**2)


def heat_1d(u):
    u = u.copy()
    for _ in range(50):
        u[1:-1] += 0.2 * (u[2:] - 2 * u[1:-1] + u[:-2])
    return np.mean(u**2)


def gauss_seidel(f):
    rows, columns = f.shape
    u = np.zeros(f.shape, f.dtype)
    for _ in range(3):
        for i in range(1, rows - 1):
            for j in range(1, columns - 1):
                u[i, j] = 0.25 * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1] - f[i, j])
    return np.mean(u**2)
