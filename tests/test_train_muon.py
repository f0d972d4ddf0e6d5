"""Muon beside AdamW: each weight goes to its own, states travel with checkpoints, what cannot be had is refused."""

import copy
from types import SimpleNamespace

import pytest
import torch

from llava_graph.errors import InputError
from train.learning.muon import MuonAdamW, check_muon, matrices_of


class Stack(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(11, 8)
        self.layers = torch.nn.ModuleList([torch.nn.Linear(8, 16), torch.nn.Linear(16, 8)])
        self.head = torch.nn.Linear(8, 3)

    def forward(self, ids):
        x = self.embedding(ids)
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return self.head(x)


class Whole(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.text = Stack()

    def forward(self, ids):
        return self.text(ids)


def model_of(seed=0):
    torch.manual_seed(seed)
    return Whole()


def optimizer_of(model, lr=0.02):
    names = matrices_of(model)
    groups = [
        {"params": [p for n, p in model.named_parameters() if n in names], "weight_decay": 0.1, "matrices": True},
        {"params": [p for n, p in model.named_parameters() if n not in names], "weight_decay": 0.0},
    ]
    return MuonAdamW(groups, lr=lr, betas=(0.9, 0.97))


def learn(model, optimizer, steps, start=0):
    for step in range(start, start + steps):
        ids = torch.randint(0, 11, (16,), generator=torch.Generator().manual_seed(step))
        loss = torch.nn.functional.cross_entropy(model(ids), ids % 3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def test_only_the_matrices_of_layers_are_muons():
    assert matrices_of(model_of()) == {"text.layers.0.weight", "text.layers.1.weight"}
    model = model_of()
    model.text.layers[0].weight.requires_grad_(False)
    assert matrices_of(model) == {"text.layers.1.weight"}


def test_each_moves_as_under_its_own_optimizer():
    together, apart = model_of(), model_of()
    both = optimizer_of(together)
    names = matrices_of(apart)
    muon = torch.optim.Muon(
        [p for n, p in apart.named_parameters() if n in names],
        lr=0.02,
        weight_decay=0.1,
        adjust_lr_fn="match_rms_adamw",
    )
    adam = torch.optim.AdamW(
        [p for n, p in apart.named_parameters() if n not in names], lr=0.02, betas=(0.9, 0.97), weight_decay=0.0
    )
    ours = learn(together, both, 5)
    theirs = learn(apart, SimpleNamespace(zero_grad=apart.zero_grad, step=lambda: (muon.step(), adam.step())), 5)
    assert ours == pytest.approx(theirs, rel=1e-5)
    for one, other in zip(together.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_the_rate_is_that_of_the_groups_at_each_step():
    model = model_of()
    optimizer = optimizer_of(model)
    before = copy.deepcopy(model.state_dict())
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    learn(model, optimizer, 1)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_saved_state_goes_on_to_the_bit(tmp_path):
    whole, cut = model_of(), model_of()
    learn(whole, optimizer_of(whole), 6)
    first = optimizer_of(cut)
    learn(cut, first, 3)
    torch.save((cut.state_dict(), first.state_dict()), tmp_path / "state.pt")
    weights, state = torch.load(tmp_path / "state.pt", weights_only=True)
    again = model_of(seed=1)
    again.load_state_dict(weights)
    second = optimizer_of(again)
    second.load_state_dict(state)
    learn(again, second, 3, start=3)
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"optim": "adafactor"}, "not with --optim adafactor"),
        ({"fp16": True}, "--fp16"),
        ({"deepspeed": "zero2"}, "whole matrices"),
    ],
)
def test_what_cannot_be_had_is_refused(setting, told):
    plain = {"muon": True, "optim": "adamw_torch_fused", "fp16": False, "deepspeed": None, "fsdp": None}
    check_muon(SimpleNamespace(**plain))
    with pytest.raises(InputError, match=told):
        check_muon(SimpleNamespace(**plain | setting))
    check_muon(SimpleNamespace(**plain | setting | {"muon": False}))


def test_the_connector_is_muons_too():
    model = torch.nn.ModuleDict({"multi_modal_projector": torch.nn.ModuleDict({"linear_1": torch.nn.Linear(4, 4)})})
    assert matrices_of(model) == {"multi_modal_projector.linear_1.weight"}
