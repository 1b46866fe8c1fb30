"""Conv2d's faster ways against F.conv2d itself, in float64: outputs and every gradient."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from scalesearch.nn.conv import Conv2d, adopt
from scalesearch.profile.flop_counter import count_module

KINDS = [  # c_in, c_out, kernel, stride, groups, bias
    (8, 8, 5, 1, 8, False),
    (8, 8, 5, 2, 8, False),
    (8, 8, 3, 2, 8, False),
    (8, 8, 7, 2, 8, True),
    (8, 8, 4, 2, 8, False),
    (3, 8, 3, 2, 1, False),
    (8, 16, 5, 2, 8, False),
    (8, 12, 1, 1, 1, True),
    (8, 12, 1, 1, 1, False),
]
SIZES = [(8, 8), (9, 8), (13, 11), (5, 4), (3, 2), (1, 1)]


def _conv(kind: tuple[int, int, int, int, int, bool], same: bool) -> Conv2d:
    c_in, c_out, kernel, stride, groups, bias = kind
    conv = Conv2d(c_in, c_out, kernel, stride=stride, padding=0 if same else kernel // 2, groups=groups, bias=bias)
    conv.same = same
    return conv.double()


def _image(channels: int, size: tuple[int, int], layout: torch.memory_format) -> Tensor:
    image = torch.randn(2, channels, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return image.to(memory_format=layout).requires_grad_()


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("same", [True, False], ids=["same", "symmetric"])
def test_the_same_numbers_and_gradients_as_the_plain_convolution(
    kind: tuple[int, int, int, int, int, bool], same: bool
) -> None:
    conv = _conv(kind, same)
    for size in SIZES:
        for layout in (torch.channels_last, torch.contiguous_format):
            x = _image(kind[0], size, layout)
            ours, plain = conv(x), conv._plain(x, conv.pads(x))
            wanted = [x, *conv.parameters()]
            grad = torch.randn_like(plain)
            torch.testing.assert_close(ours, plain)
            torch.testing.assert_close(
                torch.autograd.grad(ours, wanted, grad), torch.autograd.grad(plain, wanted, grad)
            )
            with torch.no_grad():
                torch.testing.assert_close(conv(x), plain)


def test_same_padding_gives_a_map_of_the_size_rounded_up_and_puts_the_odd_pixel_last() -> None:
    conv = _conv((1, 1, 3, 2, 1, False), same=True)
    with torch.no_grad():
        conv.weight.copy_(torch.arange(9.0).view(1, 1, 3, 3))
        image = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
        image[0, 0, 0, 0] = 1
        # Windows start at 0 and 2: the first pixel meets the kernel's first weight, 0, not its middle one.
        assert conv(image).tolist() == [[[[0, 0], [0, 0]]]]
        assert conv(image.flip(2, 3)).tolist() == [[[[0, 0], [0, 4]]]]
        assert conv(torch.zeros(1, 1, 7, 5, dtype=torch.float64)).shape == (1, 1, 4, 3)


def test_a_counter_sees_the_convolutions_as_they_are_priced() -> None:
    conv = _conv((8, 8, 3, 2, 8, False), same=True)
    cost, _ = count_module(conv, torch.zeros(1, 8, 16, 16, dtype=torch.float64))
    assert cost == (72, 72 * 64, 8 * 64)


def test_an_adopted_model_keeps_its_parameters_and_outputs() -> None:
    model = timm.create_model("tf_mobilenetv3_small_minimal_100", features_only=True).eval()
    image = torch.randn(1, 3, 64, 64)
    before, names = model(image), [name for name, _ in model.named_parameters()]
    adopt(model)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert convolutions and all(type(m) is Conv2d for m in convolutions)
    assert [name for name, _ in model.named_parameters()] == names
    torch.testing.assert_close(model(image), before, rtol=1e-4, atol=1e-5)
