"""Data sets in small files of their formats, as they come, damaged and absent; and what the generators draw."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import pickle
import struct

import numpy as np
import pytest

from minpy.errors import ArgumentError, DataError, MissingDataError
from minpy.utils import data, data_utils

# ----- files


def idx(array: np.ndarray) -> bytes:
    code = {"u1": 0x08, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}[array.dtype.str[1:]]
    head = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def md5(contents: bytes) -> str:
    return hashlib.md5(contents).hexdigest()


def write_mnist(folder, packed=False, dotted=False, **replaced):
    """Small files; their digests, and what is in them."""
    rng = np.random.default_rng(0)
    digests, arrays = {}, {}
    for part, n in (("train", 12), ("t10k", 5)):
        arrays[f"{part}-images-idx3-ubyte"] = rng.integers(0, 256, (n, 28, 28), np.uint8)
        arrays[f"{part}-labels-idx1-ubyte"] = rng.integers(0, 10, n, np.uint8)
    for name, array in arrays.items():
        contents = replaced.get(name.split("-idx")[0].replace("-", "_"), idx(array))
        digests[name] = md5(contents)
        if packed:
            contents = gzip.compress(contents)
        (folder / (name.replace("-idx", ".idx") if dotted else name + ".gz" * packed)).write_bytes(contents)
    return digests, arrays


def string2(text: bytes) -> bytes:
    """A string in a pickle of Python 2, as which CIFAR-10 comes."""
    return b"T" + struct.pack("<i", len(text)) + text


def batch2(images: np.ndarray, labels: list[int]) -> bytes:
    """A batch as Python 2 pickled it: byte strings, and an array whose data is one."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + string2(b"b") + b"tR"
        b"(K\x01(" + b"J" + struct.pack("<i", len(images)) + b"M" + struct.pack("<H", 3072) + b"t"
        b"cnumpy\ndtype\n("
        + string2(b"u1")
        + b"K\x00K\x01tR(K\x03"
        + string2(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89" + string2(images.tobytes()) + b"tb"
    )
    numbers = b"](" + b"".join(b"K" + bytes([n]) for n in labels) + b"e"
    return b"\x80\x02}(" + string2(b"data") + array + string2(b"labels") + numbers + b"u."


def write_cifar(folder, inner=True, written=batch2):
    rng = np.random.default_rng(1)
    inside = folder / "cifar-10-batches-py" if inner else folder
    inside.mkdir(exist_ok=True)
    digests, arrays = {}, {}
    for name in data.CIFAR10:
        images, labels = rng.integers(0, 256, (4, 3072), np.uint8), rng.integers(0, 10, 4).tolist()
        contents = written(images, labels)
        (inside / name).write_bytes(contents)
        digests[name], arrays[name] = md5(contents), (images.reshape(4, 3, 32, 32), labels)
    return digests, arrays


def batch3(images, labels):
    return pickle.dumps({"data": images, "labels": labels}, protocol=4)


# ----- MNIST


@pytest.mark.parametrize(("packed", "dotted"), [(False, False), (True, False), (False, True)])
def test_mnist_reads_files_packed_or_not(tmp_path, packed, dotted):
    """Images become (N, 1, 28, 28) from 0 to 1, labels whole numbers; the digest is that of the unpacked file."""
    digests, arrays = write_mnist(tmp_path, packed, dotted)
    split = data.mnist(tmp_path, digests)
    assert (
        split.shape == (1, 28, 28) and split.x_train.dtype == np.float32 and split.y_train.dtype == np.int64
    )
    for got, name in ((split.x_train, "train-images-idx3-ubyte"), (split.x_test, "t10k-images-idx3-ubyte")):
        np.testing.assert_array_equal(got[:, 0], arrays[name].astype("f4") * np.float32(1 / 255))
    np.testing.assert_array_equal(split.y_test, arrays["t10k-labels-idx1-ubyte"])
    assert [len(each) for each in split.first(3, 2)[:4]] == [3, 3, 2, 2]


def test_a_file_that_is_not_the_published_one_is_an_error_unless_told_otherwise(tmp_path):
    """By default only MNIST itself is read; its digests, or none, can be given."""
    digests, _ = write_mnist(tmp_path)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte is not the file.*not 6bbc9ace"):
        data.mnist(tmp_path)
    assert len(data.mnist(tmp_path, None).x_train) == 12
    sha = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest().upper() for name in digests}
    assert len(data.mnist(tmp_path, sha).x_train) == 12
    with pytest.raises(DataError, match="sha256 digest"):
        data.mnist(tmp_path, sha | {"t10k-labels-idx1-ubyte": "0" * 64})
    with pytest.raises(ArgumentError, match="digests has no 't10k-images-idx3-ubyte'"):
        data.mnist(tmp_path, {k: v for k, v in digests.items() if "t10k-images" not in k})
    with pytest.raises(ArgumentError, match="MD5 or a SHA-256"):
        data.mnist(tmp_path, dict.fromkeys(digests, "beef"))


def test_absent_data_says_where_it_comes_from(tmp_path):
    """No folder, an empty one, one file missing: the error is a FileNotFoundError that names it and the source."""
    for load, source, name in (
        (data.mnist, "yann.lecun.com", "train-images-idx3-ubyte"),
        (data.cifar10, "cs.toronto.edu", "data_batch_1"),
        (data.images, "cs.toronto.edu.*yann.lecun.com", "data_batch_1"),
    ):
        with pytest.raises(MissingDataError, match=f"has no file {name}.*{source}"):
            load(tmp_path)
        with pytest.raises(FileNotFoundError, match=f"there is no folder .*nowhere.*{source}"):
            load(tmp_path / "nowhere")
    write_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(MissingDataError, match="has no file t10k-labels-idx1-ubyte"):
        data.mnist(tmp_path, None)


IMAGES = idx(np.zeros((12, 28, 28), np.uint8))
DAMAGED_MNIST = {
    "cut": (
        {"train_images": IMAGES[:-3]},
        "is damaged: an array of shape .* has 9408 bytes, but 9405 follow",
    ),
    "more": ({"train_images": IMAGES + b"\0"}, "9409 follow"),
    "head": ({"train_images": IMAGES[:9]}, "not a file in IDX format"),
    "empty": ({"t10k_labels": b""}, "not a file in IDX format"),
    "other": ({"train_labels": b"a picture?" * 9}, "not a file in IDX format"),
    "floats": ({"train_images": idx(np.zeros((12, 28, 28), "f4"))}, "must hold images"),
    "fewer": ({"train_labels": idx(np.zeros(11, "u1"))}, "12 images, but .* 11 labels"),
    "class": ({"train_labels": idx(np.full(12, 10, "u1"))}, "label 10, which is none"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", DAMAGED_MNIST)
def test_damaged_mnist_files_are_errors_that_name_them(tmp_path, case, packed):
    """Whatever is wrong, with and without packing, is found without digests, too."""
    replaced, text = DAMAGED_MNIST[case]
    write_mnist(tmp_path, packed, **replaced)
    with pytest.raises(DataError, match=text):
        data.mnist(tmp_path, None)


def test_damaged_packing(tmp_path):
    """A packed file that was cut, or changed inside, is damaged."""
    write_mnist(tmp_path, packed=True)
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for contents in (whole[: len(whole) // 2], whole[:-6] + b"\0\1\2\3\4\5", whole[:12] + b"\xff" * 40):
        path.write_bytes(contents)
        with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz is damaged"):
            data.mnist(tmp_path, None)


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "f8"])
def test_read_idx_reads_every_type(tmp_path, dtype):
    """Arrays of any type and number of axes, in the byte order of the machine."""
    array = (np.arange(24).reshape(2, 3, 4) * 1.5).astype(dtype)
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx(array)))
    read = data.read_idx(tmp_path / "a.gz")
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype and read.flags.writeable


# ----- CIFAR-10


@pytest.mark.parametrize("written", [batch2, batch3])
@pytest.mark.parametrize("inner", [True, False])
def test_cifar10_reads_its_pickles(tmp_path, inner, written):
    """Those of Python 2, as they are published, and newer ones; from the folder or the one that holds it."""
    digests, arrays = write_cifar(tmp_path, inner, written)
    split = data.cifar10(tmp_path, digests)
    assert split.shape == (3, 32, 32) and len(split.x_train) == 20 and split.classes[9] == "truck"
    np.testing.assert_array_equal(
        split.x_train[4:8], arrays["data_batch_2"][0].astype("f4") * np.float32(1 / 255)
    )
    np.testing.assert_array_equal(split.y_test, arrays["test_batch"][1])
    with pytest.raises(DataError, match="data_batch_1 is not the file"):
        data.cifar10(tmp_path)


class Call:
    def __reduce__(self):
        return (print, ("never printed",))


DAMAGED_CIFAR = {
    "call": (pickle.dumps({"data": Call(), "labels": []}), "builtins.print"),
    "cut": (batch3(np.zeros((4, 3072), "u1"), [1] * 4)[:-9], "damaged"),
    "text": (b"no pickle at all", "damaged"),
    "keys": (pickle.dumps({"images": 1}), "KeyError"),
    "shape": (batch3(np.zeros((4, 3000), "u1"), [1] * 4), "must hold images"),
    "type": (batch3(np.zeros((4, 3072), "f4"), [1] * 4), "must hold images"),
    "fewer": (batch3(np.zeros((4, 3072), "u1"), [1] * 3), "must hold images"),
    "class": (batch3(np.zeros((4, 3072), "u1"), [1, 2, 3, 10]), "outside of 0 to 9"),
}


@pytest.mark.parametrize("case", DAMAGED_CIFAR)
def test_damaged_cifar_files_are_errors_that_name_them(tmp_path, case, capsys):
    """Also a pickle that would call something: it does not."""
    contents, text = DAMAGED_CIFAR[case]
    write_cifar(tmp_path)
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").write_bytes(contents)
    with pytest.raises(DataError, match=f"(?s)data_batch_3.*{text}"):
        data.cifar10(tmp_path, None)
    assert capsys.readouterr().out == ""


def test_images_takes_what_is_there(tmp_path, monkeypatch):
    """A folder of MNIST, of CIFAR-10, or the digits without one."""
    for write, known, size in ((write_mnist, data.MNIST, 28), (write_cifar, data.CIFAR10, 32)):
        folder = tmp_path / str(size)
        folder.mkdir()
        digests, _ = write(folder)
        for name, digest in digests.items():
            monkeypatch.setitem(known, name, digest)
        assert data.images(folder).shape[1] == size


# ----- the original's names


def test_data_utils_have_the_originals_forms(tmp_path, monkeypatch):
    """Channels last as they were, the dict with the mean taken away, counts as asked for."""
    digests, arrays = write_cifar(tmp_path)
    for name, digest in digests.items():
        monkeypatch.setitem(data.CIFAR10, name, digest)
    x, _ = data_utils.load_CIFAR_batch(tmp_path / "cifar-10-batches-py" / "test_batch")
    np.testing.assert_array_equal(x, arrays["test_batch"][0].transpose(0, 2, 3, 1))
    x_train, y_train, x_test, _ = data_utils.load_CIFAR10(tmp_path)
    assert x_train.shape == (20, 32, 32, 3) and x_test.shape == (4, 32, 32, 3) and len(y_train) == 20
    found = data_utils.get_CIFAR10_data(tmp_path, 14, 6, 3)
    assert {name: len(array) for name, array in found.items()} == {
        "X_train": 14, "y_train": 14, "X_val": 6, "y_val": 6, "X_test": 3, "y_test": 3,
    }  # fmt: skip
    assert found["X_val"].shape == (6, 3, 32, 32)
    np.testing.assert_allclose(found["X_train"].mean(axis=0), 0, atol=1e-4)
    np.testing.assert_array_equal(found["y_val"], y_train[14:])
    mean = x_train[:14].mean(axis=0, dtype=np.float64).astype("f4")
    np.testing.assert_array_equal(found["X_val"].transpose(0, 2, 3, 1), x_train[14:] - mean)
    with pytest.raises(ArgumentError, match=r"num_training \+ num_validation is 50000, but there are 20"):
        data_utils.get_CIFAR10_data(tmp_path)


def write_tiny(folder, labelled=True):
    """Two classes, three pictures to train with each, two to choose by, two of the test; some of them grey."""
    from PIL import Image

    rng = np.random.default_rng(0)
    (folder / "wnids.txt").write_text("n02\nn01\n")
    (folder / "words.txt").write_text("n00\tnothing\nn01\ta cat, a tabby\nn02\ta dog\n")
    written = {}

    def picture(path, grey=False):
        path.parent.mkdir(parents=True, exist_ok=True)
        points = rng.integers(0, 256, (64, 64) if grey else (64, 64, 3)).astype("u1")
        Image.fromarray(points).save(path.with_suffix(".png"))
        path.with_suffix(".png").rename(path)  # (JPEG would lose bits; Pillow goes by the contents)
        written[path.name] = np.stack([points] * 3) if grey else points.transpose(2, 0, 1)

    for wnid in ("n01", "n02"):
        for i in range(3):
            picture(folder / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", grey=i == 1)
        lines = "".join(f"{wnid}_{i}.JPEG\t0\t0\t9\t9\n" for i in range(3))
        (folder / "train" / wnid / f"{wnid}_boxes.txt").write_text(lines)
    for part in ("val", "test"):
        for i in range(2):
            picture(folder / part / "images" / f"{part}_{i}.JPEG")
        if part == "val" or labelled:
            lines = f"{part}_1.JPEG\tn01\t0\t0\t9\t9\n{part}_0.JPEG\tn02\t0\t0\t9\t9\n"
            (folder / part / f"{part}_annotations.txt").write_text(lines)
    return written


@pytest.mark.parametrize("labelled", [True, False])
def test_tiny_imagenet(tmp_path, labelled):
    pytest.importorskip("PIL", reason="reads the pictures")
    written = write_tiny(tmp_path, labelled)
    found = data_utils.load_tiny_imagenet(tmp_path)
    names, x_train, y_train, x_val, y_val, x_test, y_test = found
    assert names == [["a dog"], ["a cat", "a tabby"]] and found.class_names is names
    order = ["n02_0", "n02_1", "n02_2", "n01_0", "n01_1", "n01_2"]
    np.testing.assert_array_equal(x_train, [written[f"{name}.JPEG"] for name in order])
    assert x_train.dtype == np.float32 and y_train.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(x_val, [written["val_1.JPEG"], written["val_0.JPEG"]])
    assert y_val.tolist() == [1, 0]
    np.testing.assert_array_equal(x_test, [written["test_0.JPEG"], written["test_1.JPEG"]])
    assert (y_test.tolist() if labelled else y_test) == ([0, 1] if labelled else None)
    assert data_utils.load_tiny_imagenet(tmp_path, np.uint8).X_val.dtype == np.uint8


def test_tiny_imagenet_that_is_absent_or_damaged(tmp_path):
    pytest.importorskip("PIL", reason="reads the pictures")
    with pytest.raises(MissingDataError, match=r"wnids.txt is not there.*tiny-imagenet-200.zip"):
        data_utils.load_tiny_imagenet(tmp_path)
    write_tiny(tmp_path)
    picture, classes = tmp_path / "val" / "images" / "val_0.JPEG", tmp_path / "wnids.txt"
    for damage, error, text in (
        (lambda: picture.write_bytes(picture.read_bytes()[:200]), DataError, "val_0.JPEG is no picture"),
        (lambda: picture.unlink(), MissingDataError, "val_0.JPEG is not there"),
        (lambda: classes.write_text("n01\n"), DataError, "the class 'n02', which wnids.txt does not name"),
        (lambda: classes.write_text("n09\n"), DataError, "no words for n09"),
    ):  # fmt: skip
        damage()
        with pytest.raises(error, match=text):
            data_utils.load_tiny_imagenet(tmp_path)


def test_load_models(tmp_path, capsys):
    """Parameters that were saved, and pickles of arrays; no pickle runs code."""
    from minpy.nn.model import ModelBase

    model = ModelBase().add_param("w", (2, 3))
    model.params["w"] = np.arange(6.0).reshape(2, 3)
    model.save(tmp_path / "line")
    (tmp_path / "old.pkl").write_bytes(pickle.dumps({"model": {"w": np.ones(3), "layers": [4, 5]}}))
    (tmp_path / "call.pkl").write_bytes(pickle.dumps({"model": Call()}))
    (tmp_path / "other.pkl").write_bytes(pickle.dumps([1, 2]))
    (tmp_path / "README.txt").write_text("models")
    (tmp_path / "folder").mkdir()
    found = data_utils.load_models(tmp_path)
    assert list(found) == ["line.params", "old.pkl"]
    np.testing.assert_array_equal(found["line.params"]["param:w"], model.params["w"])
    np.testing.assert_array_equal(found["old.pkl"]["w"], np.ones(3))
    assert found["old.pkl"]["layers"] == [4, 5] and capsys.readouterr().out == ""
    with pytest.raises(MissingDataError, match="there is no folder"):
        data_utils.load_models(tmp_path / "nothing")


def test_mnist_batches(tmp_path):
    """Normalised by the training images, in the shape asked for, a label for each."""
    digests, _ = write_mnist(tmp_path)
    train, test = data_utils.get_MNIST_data(tmp_path, 4, shape=(112, 7), digests=digests)
    batches = list(train)
    assert [b.data[0].shape for b in batches] == [(4, 112, 7)] * 3
    together = np.concatenate([b.data[0] for b in batches]).reshape(12, 784)
    np.testing.assert_allclose(together.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(together.std(axis=0), 1, atol=1e-2)
    assert next(test).label[0].shape == (4,)


# ----- without files


@pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="needs the extra examples")
def test_digits():
    """All of them, in an order that the seed says, each in one part only."""
    split = data.digits()
    assert split.shape == (1, 8, 8) and len(split.x_train) == 1438 and len(split.x_test) == 359
    assert split.x_train.max() == 1 and split.x_train.min() == 0 and set(split.y_test) == set(range(10))
    for again, same in ((data.images(), True), (data.digits(seed=1), False)):
        assert np.array_equal(split.x_train, again.x_train) is same
    rest, (x, y) = split.hold_out(0.25)
    assert (len(rest.x_train), len(x), len(y), len(rest.x_test)) == (1438 - 360, 360, 360, 359)
    np.testing.assert_array_equal(np.concatenate([rest.x_train, x]), split.x_train)
    counts = [np.bincount(np.concatenate([s.y_train, s.y_test])) for s in (split, data.digits(0.5, 3))]
    np.testing.assert_array_equal(*counts)
    with pytest.raises(ArgumentError, match="test_share"):
        data.digits(1.5)
    with pytest.raises(ArgumentError, match="share"):
        split.hold_out(-1)


def test_adding_problem():
    """Two different marks in each row, every pair about as likely, the label their sum; the baseline is 0.1767."""
    x, y = data.adding_problem_generator(20000, 6, seed=0)
    assert x.shape == (20000, 6, 2) and y.shape == (20000, 1)
    np.testing.assert_array_equal(x[:, :, 1].sum(axis=1), 2)
    np.testing.assert_allclose((x[:, :, 0] * x[:, :, 1]).sum(axis=1), y[:, 0], rtol=1e-12)
    assert abs(np.mean((y - 1) ** 2) - 1 / 6) < 0.005
    pairs = [tuple(np.flatnonzero(row)) for row in x[:, :, 1]]
    counts = np.array([pairs.count(pair) for pair in {*pairs}])
    assert len(counts) == 15 and abs(counts / 20000 - 1 / 15).max() < 0.01
    assert x[:, :, 0].max() <= 1 and data.adding_problem_generator(50, high=3)[0].max() > 1.5
    np.random.seed(4)
    one = data_utils.adding_problem_generator(5)
    np.random.seed(4)
    np.testing.assert_array_equal(one[0], data.adding_problem_generator(5, 30)[0])
    with pytest.raises(ArgumentError, match="seq_len"):
        data.adding_problem_generator(5, 1)


def test_gaussian_clusters():
    """Points near the centre of their cluster; numbers of samples that the classes do not divide are fine."""
    x, y = data.gaussian_cluster_generator(103, 40, 5, seed=0)
    assert x.shape == (103, 40) and y.shape == (103, 5)
    assert sorted(y.sum(axis=0)) == [20, 20, 21, 21, 21] and (y.sum(axis=1) == 1).all()
    for cluster in y.T.astype(bool):
        assert abs(x[cluster].std(axis=0).mean() - 0.1) < 0.01
    assert data.gaussian_cluster_generator()[0].shape == (10000, 500)
    with pytest.raises(ArgumentError, match="num_classes"):
        data.gaussian_cluster_generator(10, 3, 0)


def test_a_pickle_of_python_2_is_what_it_says():
    """The hand-written pickle of these tests is read by Python's own unpickler, too."""
    images = np.arange(2 * 3072, dtype=np.uint32).astype(np.uint8).reshape(2, 3072)
    read = pickle.load(io.BytesIO(batch2(images, [3, 4])), encoding="latin1")
    np.testing.assert_array_equal(read["data"], images)
    assert read["labels"] == [3, 4]
