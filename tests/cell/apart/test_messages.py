"""Messages between processes: tensors arrive as they were sent, by value, and long ones from threads do not mix."""

import threading
from multiprocessing import Pipe

import pytest
import torch
from torch import nn

from bench.cell.apart.messages import Gone, receive, send
from bench.plugin.values import Prediction

DTYPES = sorted({value for value in vars(torch).values() if isinstance(value, torch.dtype)}, key=str)
PLAIN = [dtype for dtype in DTYPES if not any(word in str(dtype) for word in ("q", "bits", "x2", "int1", "int2"))]
PLAIN = [dtype for dtype in PLAIN if str(dtype) not in {f"torch.{u}int{n}" for u in ("", "u") for n in range(1, 8)}]
COUNT = torch.arange(24.0).view(2, 3, 2, 2)


def sent(message: object) -> object:
    """A message as it arrives."""
    ours, theirs = Pipe()
    with ours, theirs:
        sender = threading.Thread(target=send, args=(ours, message))  # more than a pipe holds, perhaps
        sender.start()
        arrived = receive(theirs)
        sender.join()
    return arrived


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two dense tensors agree in type, shape and every bit."""
    bits = [
        value.detach().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8) for value in (one, other)
    ]
    return (one.dtype, one.shape) == (other.dtype, other.shape) and torch.equal(*bits)


@pytest.mark.parametrize("dtype", PLAIN, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (5, 3)], ids=str)
def test_tensors_of_every_type_and_size_arrive(dtype, shape):
    count = torch.Size(shape).numel() * dtype.itemsize
    bits = torch.randint(0, 2 if dtype == torch.bool else 256, (count,), generator=torch.Generator().manual_seed(1))
    tensor = bits.to(torch.uint8).view(dtype).view(shape)
    arrived = sent(tensor)
    assert same(arrived, tensor)
    arrived.reshape(-1).view(torch.uint8).zero_()  # it is the receiver's own


LAYOUTS = {
    "channels last": COUNT.to(memory_format=torch.channels_last),
    "transposed": COUNT.transpose(1, 3),
    "strided": COUNT[:, ::2],
    "a view of a larger one": torch.arange(10_000.0)[5000:5003],
    "expanded": COUNT[:1].expand(5, 3, 2, 2),
    "reversed": COUNT.flip(0),
    "conjugate": torch.complex(COUNT, -COUNT).conj(),
    "negative": torch.complex(COUNT, COUNT).conj().imag,
    "not a number": torch.tensor([torch.nan, -torch.nan, torch.inf, -0.0]),
    "subnormal": torch.tensor([1e-45, 1e-40]),
    "a parameter": nn.Parameter(COUNT.clone()),
    "part of a graph": nn.Parameter(COUNT.clone()) * 2,
    "inference": torch.inference_mode()(lambda: COUNT + 1)(),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_tensors_of_every_layout_arrive_as_their_values(name):
    arrived = sent(LAYOUTS[name])
    assert same(arrived, LAYOUTS[name])
    assert type(arrived) is torch.Tensor
    assert arrived.is_leaf
    assert not arrived.requires_grad
    assert not arrived.is_inference()


def test_a_view_travels_without_the_tensor_that_it_shows_a_part_of():
    ours, theirs = Pipe()
    with ours, theirs:
        send(ours, LAYOUTS["a view of a larger one"])
        assert len(theirs.recv_bytes()) < 1000


def test_sparse_and_quantized_tensors_arrive():
    eye = torch.eye(3)
    assert torch.equal(sent(eye.to_sparse()).to_dense(), eye)
    assert torch.equal(sent(eye.to_sparse_csr()).to_dense(), eye)
    assert torch.equal(sent(torch.quantize_per_tensor(eye, 0.5, 0, torch.qint8)).dequantize(), eye)


class Remembers(torch.Tensor):
    """A tensor of a class that the receiver does not have."""


def test_a_tensor_of_another_class_arrives_as_a_plain_one():
    arrived = sent(Prediction(COUNT.as_subclass(Remembers), COUNT[0, 0, 0], COUNT[0, 0, 0] > 1))
    assert type(arrived.logits) is torch.Tensor
    assert same(arrived.logits, COUNT)


class Proud(str):
    """A text of a class that the receiver does not have."""

    def __reduce_ex__(self, protocol):
        raise TypeError("cannot be pickled")


def test_a_text_of_another_class_arrives_as_a_plain_one():
    arrived = sent({"a": [Proud("b"), "c"]})
    assert arrived == {"a": ["b", "c"]}
    assert [type(text) for text in arrived["a"]] == [str, str]


def test_a_hook_stays_behind():
    parameter = nn.Parameter(COUNT.clone())
    parameter.register_hook(lambda gradient: gradient)
    assert sent({"weight": parameter})["weight"]._backward_hooks is None


def test_long_messages_of_several_threads_do_not_mix():
    ours, theirs = Pipe()
    with ours, theirs:
        threads = [
            threading.Thread(target=lambda n=n: [send(ours, torch.full((20_000,), n)) for _ in range(30)])
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        arrived = [receive(theirs) for _ in range(4 * 30)]
        for thread in threads:
            thread.join()
    assert all(len(tensor.unique()) == 1 for tensor in arrived)
    assert sorted(int(tensor[0]) for tensor in arrived) == sorted(list(range(4)) * 30)


def test_nobody_to_talk_to_is_told_apart():
    ours, theirs = Pipe()
    theirs.close()
    with pytest.raises(Gone):
        send(ours, 1)
    with pytest.raises(Gone):
        receive(ours)
    ours.close()
    with pytest.raises(Gone):
        receive(ours)
