"""One training: its state, its epochs, its checkpoints.

Imports nn, data and plan.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from scalesearch.data.pixels import Pixels
from scalesearch.data.shard import WHOLE
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.detector import Detector
from scalesearch.nn.frozen import frozen_names, same_tensors, set_frozen, train_unfrozen
from scalesearch.nn.losses import Losses, Targets, assign, detection_loss
from scalesearch.nn.recompute import set_recompute
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Task, TaskError
from scalesearch.training.averages import EpochAverages
from scalesearch.training.compiled import compiled
from scalesearch.training.distributed import ALONE, Team
from scalesearch.training.ema import Average
from scalesearch.training.evaluation import norms_of
from scalesearch.training.initial import initial_detector
from scalesearch.training.loader import Ready, epoch_seed, prepared
from scalesearch.training.norms import advice
from scalesearch.training.optimizer import learning_rate, make_optimizer, set_rate
from scalesearch.training.precision import Precision
from scalesearch.training.together import Common, boxes_of, evaluated_together, own_random, steps_together

OnStep = Callable[[int, float], None]
"""Called after each step with (steps of this epoch done, loss)."""


class NonFinite(ArithmeticError):
    """The loss or its gradient is no longer a number; the message says where."""


class _Unread(NamedTuple):
    """A step whose loss is not read yet."""

    step: int
    all_steps: int
    """`Training.step` and `Training.done` before it."""
    at: int
    """Its number from the start of the recipe."""
    rate: float
    numbers: Tensor
    """[2] on the host: the loss, and the norm of the gradient."""
    there: torch.cuda.Event | None
    """When they have arrived."""
    places: Tensor

    def read(self) -> tuple[float, float]:
        """Return the loss and the norm of the gradient, as soon as the device has them."""
        if self.there is not None:
            self.there.synchronize()
        loss, size = self.numbers.tolist()
        return loss, size


class Training:
    """Weights, their moving average and the optimiser of one (spec, recipe, seed) over `pixels`, after `epoch` epochs.

    Several processes hold the same state, and each trains its shard of every batch. ValueError where they cannot.
    """

    def __init__(self, task: Task, pixels: Pixels, device: torch.device, team: Team = ALONE) -> None:
        recipe = task.recipe
        team.check_batch(recipe.batch, len(pixels))
        self.team = team
        self.recipe, self.seed, self.pixels, self.device = recipe, task.seed, pixels, device
        self.precision = Precision(recipe.precision, device)
        with own_random(device):
            torch.manual_seed(task.seed)
            model, self.notes = initial_detector(task, pixels.split.categories)
        self.spec = task.spec
        if recipe.batch > len(pixels):
            self.notes += (
                f"a batch is all {len(pixels)} images there are, not the recipe's {recipe.batch}: set batch",
            )
        set_recompute(model, recipe.checkpointing)
        self.model = cast(Detector, team.norms(model.to(device).to(memory_format=torch.channels_last)))
        self.anchors = anchor_boxes(task.spec, device)
        self.optimizer = make_optimizer(self.model, recipe)
        self.average = Average(self.model, recipe.ema, fixed=("backbone.",) if recipe.frozen_backbone else ())
        self.epoch = self.step = 0
        """Whole epochs done, and steps of the next one."""
        self._freezable = frozen_names(model, recipe.freeze)
        self.frozen: frozenset[str] = frozenset()
        """Names of the parameters that this epoch does not train."""
        self._enter_phase()
        self.done = 0
        """Steps done, also of parts of the training on other images."""
        self.random: dict[str, Tensor] = {}
        """Within an epoch: the generators' states after its last step."""
        self.seconds = self.waited = self.began = 0.0
        """Seconds of training, seconds of waiting for batches, and `seconds` at the start of the epoch."""
        self.late = device.type == "cuda"
        """Whether the host runs ahead of the device: the loader finds a batch's labels, and a step's loss is read when the
        next one has been sent, so that the device never waits for either. Weights and messages are the same."""
        self._sent: _Unread | None = None
        self._loss_read = math.nan
        self.averages = EpochAverages(device)
        self.logged: dict[str, float] = {}
        """The last epoch's learning_rate, loss and its parts, images_per_second."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch, as `Recipe.steps_of_epoch`."""
        return self.recipe.steps_of_epoch(len(self.pixels))

    @property
    def loader_share(self) -> float:
        """Share of the training time in which steps waited for batches."""
        return self.waited / self.seconds if self.seconds > 0 else 0.0

    def train_epoch(self, on_step: OnStep | None = None) -> None:
        """Train one epoch, a function of the state, the seed and the epoch only. Raises NonFinite."""
        with closing(steps_together([self])) as steps:
            for _, batch, common in steps:
                loss = self.train_step(batch, common)
                if on_step is not None:
                    on_step(self.step, loss)
        self.end_epoch()

    def begin_epoch(self) -> None:
        """Freeze what the next epoch does not train, and switch norms and dropouts to training."""
        if self.frozen != self._frozen_now():
            self._enter_phase()
        train_unfrozen(self.model)
        if self.recipe.freeze_norms:
            for norm in norms_of(self.model):
                norm.eval()

    def train_step(self, batch: Ready, common: Common | None = None) -> float:
        """Do the epoch's next step and return its loss, or where it is read late that of the step before (at first nan).

        Raises NonFinite. `common` is what trainings on the same batch have in common, where that is computed.
        """
        start, done = time.perf_counter(), self.epoch * self.steps_per_epoch + self.step
        rate = learning_rate(self.recipe, done, self.recipe.epochs * self.steps_per_epoch)
        numbers = torch.stack(self._gradients(batch, common)).to("cpu", non_blocking=True)
        there = torch.cuda.current_stream(self.device).record_event() if self.device.type == "cuda" else None
        before, self._sent = self._sent, _Unread(self.step, self.done, done, rate, numbers, there, batch.places)
        if not self.late:
            self.settle()
        set_rate(self.optimizer, rate)
        self.precision.step(self.optimizer)
        self.average.update(done + 1)
        self.step, self.done = self.step + 1, self.done + 1
        self.random = {"batches": batch.random}
        if before is not None:
            self._judge(before)
        self.seconds += time.perf_counter() - start
        return self._loss_read

    def is_sound(self) -> bool:
        """Whether the last step is known to be finite, so that its state is worth keeping."""
        return self._sent is None or all(map(math.isfinite, self._sent.read()))

    def settle(self) -> None:
        """Read the loss of the last step, if that has not been done. Raises NonFinite."""
        sent, self._sent = self._sent, None
        if sent is not None:
            self._judge(sent)

    def _judge(self, sent: _Unread) -> None:
        """Raise NonFinite, with the counts as before that step, where the loss or its gradient is not finite."""
        loss, size = sent.read()
        if not (math.isfinite(loss) and self.precision.accepts(size)):
            self._sent, self.step, self.done = None, sent.step, sent.all_steps
            raise NonFinite(self._where(sent.at, sent.rate, sent.places))
        self._loss_read = loss

    def end_epoch(self) -> None:
        """Count the epoch whose steps are done, and average what it logs. Raises NonFinite."""
        self.settle()
        last = self.epoch * self.steps_per_epoch + self.step - 1
        rate = learning_rate(self.recipe, last, self.recipe.epochs * self.steps_per_epoch)
        self.logged = self.averages.finish(rate, self.seconds - self.began, self.team)
        self.epoch, self.step, self.random, self.began = self.epoch + 1, 0, {}, self.seconds

    def targets(self, batch: Ready) -> Targets:
        """Assign a batch's boxes to the anchors, unless the loader has done that."""
        recipe = self.recipe
        return batch.targets.get(boxes_of(self.spec)) or assign(
            self.anchors, batch.boxes, batch.labels, iou=recipe.match_iou, best=recipe.match_best
        )

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the backbone's maps of a batch, as a step computes them."""
        with self.precision.autocast():
            found: list[Tensor] = self.model.backbone(images)
        return found

    def share_backbone(self, other: Training) -> bool:
        """Take the other's backbone in place of an equal one that is never trained; False where it differs."""
        if not (self.recipe.frozen_backbone and same_tensors(self.model.backbone, other.model.backbone)):
            return False
        pairs = zip(self.model.backbone.parameters(), other.model.backbone.parameters(), strict=True)
        taken = {id(mine): theirs for mine, theirs in pairs}
        for group in self.optimizer.param_groups:
            group["params"] = [taken.get(id(parameter), parameter) for parameter in group["params"]]
        self.model.backbone = other.model.backbone
        self.average.model.backbone = other.average.model.backbone
        return True

    def _frozen_now(self) -> frozenset[str]:
        """Return the names of the parameters that the next epoch does not train."""
        at = self.recipe.unfreeze_at
        return frozenset() if at and self.epoch >= at else self._freezable

    def _enter_phase(self) -> None:
        """Freeze what the next epoch does not train, and make its forward pass.

        Wrapped and compiled anew: a wrapper looks only once at what needs a gradient.
        """
        self.frozen = self._frozen_now()
        set_frozen(self.model, self.frozen)
        self.forward: Callable[[Tensor], Any] = self.model  # the hooks of the former wrapper go with it
        wrapped = self.team.wrapped(self.model, self.spec.size)
        self.forward = compiled(wrapped) if self.recipe.compile else wrapped

    def seed_draws(self) -> None:
        """Seed the network's random draws with the epoch's seed, or with their state where an epoch continues."""
        rank = self.team.shard.rank
        torch.manual_seed((epoch_seed(self.seed, self.epoch) + rank * 1_000_000_007) % 2**63)
        if rank == 0 and "network" in self.random:
            torch.set_rng_state(self.random["network"].cpu())
        if rank == 0 and "device" in self.random and self.device.type == "cuda":
            torch.cuda.set_rng_state(self.random["device"].cpu(), self.device)

    def batches(self) -> Iterator[Ready]:
        """Return the batches of this epoch that are not done yet."""
        random = self.random["batches"].cpu() if self.random else None
        return self._prepared(epoch=self.epoch, shard=self.team.shard, first=self.step, random=random)

    def _prepared(self, **where: Any) -> Iterator[Ready]:
        return prepared(self.pixels, self.recipe, seed=self.seed, device=self.device, **where)

    def _gradients(self, batch: Ready, common: Common | None) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch and the norm of its gradient, which the parameters have, clipped."""
        loss = self._loss(batch, common)
        self.optimizer.zero_grad()
        self.precision.backward(loss, self.optimizer)
        size = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip or math.inf)
        return self.team.mean(loss.detach()), size

    def _loss(self, batch: Ready, common: Common | None) -> Tensor:
        targets = common.targets if common else self.targets(batch)
        with self.precision.autocast():
            outputs = self.model.from_maps(common.maps) if common else self._outputs(batch.images)
        found = losses(outputs, targets, self.recipe, self.team.positives(len(targets.places), self.device))
        self.averages.add(found, len(batch.images))
        return found.total

    def _outputs(self, images: Tensor) -> Any:
        try:
            return self.forward(images)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            # A batch norm of the backbone, on a squeezed map say; `check_norms` has checked the feature network.
            raise TaskError(
                f"batch norm needs more than one value a channel, but one of the network's sees a map of 1x1 and a batch of "
                f"{len(images)}: set batch to 2 or more, or freeze_norms=true"
            ) from error

    def _where(self, step: int, rate: float, places: Tensor) -> str:
        parts = self.team.gathered(places.tolist())
        ids = self.team.shared(lambda: [self.pixels.split.images[i].id for part in parts for i in part])
        return (
            f"the loss or its gradient is not finite at step {step + 1} (epoch {self.epoch + 1}, learning rate "
            f"{rate:.3g}, images {', '.join(map(str, ids))}): " + advice(self.spec, self.recipe, len(ids))
        )

    def evaluated(self) -> Detector:
        """Return a copy of the averaged model for evaluation, as `evaluated_together`."""
        return evaluated_together([self])[0]

    def unmixed(self) -> Iterator[Ready]:
        """Yield batches without mosaic and mixup, epoch after epoch."""
        shard, epoch = self.team.shard if self.team.synced else WHOLE, self.epoch
        while True:
            yield from self._prepared(epoch=epoch, shard=shard, mixed=False)
            epoch += 1

    def state(self) -> dict[str, Any]:
        """Return the state to continue from, as tensors and plain data; within an epoch, after any step."""
        if self.step:
            self.random["network"] = torch.get_rng_state()
            if self.device.type == "cuda":
                self.random["device"] = torch.cuda.get_rng_state(self.device)
        return {
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scale": self.precision.state(),
            "epoch": self.epoch,
            "step": self.step,
            "done": self.done,
            "random": self.random,
            "tally": self.averages.state(),
            "seconds": self.seconds,
            "waited": self.waited,
            "began": self.began,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.model.load_state_dict(state["model"])
        self.average.model.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.precision.restore(state.get("scale", {}))  # older checkpoints have no scale
        self.epoch, self.seconds, self.waited = state["epoch"], float(state["seconds"]), float(state.get("waited", 0.0))
        # Checkpoints from before mid-epoch saving lack these fields.
        self.step, self.random = state.get("step", 0), state.get("random", {})
        self.done = state.get("done", self.epoch * self.steps_per_epoch + self.step)
        self.began = state.get("began", self.seconds)
        if "tally" in state:
            self.averages.restore(state["tally"])


def losses(outputs: Any, targets: Any, recipe: Recipe, positives: Tensor | None = None) -> Losses:
    """Return the losses of a batch by a recipe; for a shard of one, `positives` is the divisor."""
    return detection_loss(
        outputs,
        targets,
        alpha=recipe.focal_alpha,
        gamma=recipe.focal_gamma,
        smoothing=recipe.label_smoothing,
        box=recipe.box_loss,
        box_weight=recipe.box_weight,
        delta=recipe.huber_delta,
        positives=positives,
    )
