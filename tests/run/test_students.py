"""The start of a run whose prior learns from that of another run."""

import dataclasses

import jax
import numpy as np
import pytest
from starting import started

import vdp
from vdp.checks import priors
from vdp.checks.prior_case import Case
from vdp.data import datasets
from vdp.errors import UserError
from vdp.evaluation import validations
from vdp.metrics import score
from vdp.run import students
from vdp.runtime import parallel
from vdp.settings import Train
from vdp.training import state, step
from vdp.types import Batch


@pytest.fixture(scope="module")
def opened(smoke_run):
    run = vdp.load(smoke_run)
    return run, datasets.load(run.settings.data)


def with_prior(model, **fields):
    prior = dataclasses.replace(model.prior, bound="discrete", num_steps=3, **fields)
    return dataclasses.replace(model, training="prior", prior=prior)


def test_a_learned_chain_starts_as_the_optimised_one(opened):
    run, dataset = opened
    model = with_prior(run.model, reverse="learned")
    params, _ = students.start(run, model, dataset)
    student = dataclasses.replace(run, model=model, params=params)
    arrays = run.arrays(run.images("test"))
    teacher = with_prior(run.model, reverse="optimised")
    values = [
        r.map(score.flat_terms, arrays, model=m)["value"]
        for r, m in ((student, model), (run, teacher))
    ]
    np.testing.assert_allclose(values[0], values[1], atol=0.05)
    again, _ = students.start(student, model, dataset)
    assert again["prior"]["reverse"] is params["prior"]["reverse"]
    shorter = dataclasses.replace(model, prior=dataclasses.replace(model.prior, num_steps=2))
    other, _ = students.start(student, shorter, dataset)
    assert other["prior"]["reverse"]["log_v"].shape == (2, 12)
    with pytest.raises(UserError, match=r"was learned: leave eval\.num_steps=5 out"):
        model.prior.fitted("calibrated", 5)


@pytest.mark.slow
def test_a_student_starts_as_its_teacher_and_learns_of_it_alone(opened):
    """It starts with the teacher's denoiser, so that at teacher_steps=1 its gradient is 0."""
    run, dataset = opened
    images = jax.numpy.asarray(run.images("test")[:8])
    for steps, taught in ((1, False), (4, True)):
        model = with_prior(run.model, reverse="fixed", teacher_steps=steps)
        students.check(model, Train(), has_teacher=True)
        params, stats = students.start(run, model, dataset)
        assert set(stats["prior"]) == {"teacher"}
        q = model.encode(params, stats, images)
        noise = model.prior.draw(jax.random.key(0), 8, (12,), purpose="loss")

        def loss(of_prior, model=model, stats=stats, q=q, noise=noise):
            how = dict(noise=noise, train=True)
            rate = model.prior.rate(of_prior, stats["prior"], q, jax.random.key(1), **how)[1]
            return -rate.value.mean()

        rate = model.prior.rate(
            params["prior"], stats["prior"], q, jax.random.key(1), noise=noise, train=True
        )[1]
        error = float(rate.aside["distillation"].mean())
        assert (error > 1e-3) == taught, "what a training shows of it"
        np.testing.assert_allclose(rate.value, sum(rate.parts.values()), rtol=1e-6)
        gradients = jax.jit(jax.grad(loss))(params["prior"])
        largest = max(float(abs(leaf).max()) for leaf in jax.tree.leaves(gradients["denoiser"]))
        assert (largest > 1e-3) == taught, largest
        assert not any(leaf.any() for leaf in jax.tree.leaves(gradients["schedule"]))


def test_of_a_merged_student_the_denoiser_alone_is_trained(opened):
    """Not the schedule either, which the noise of the posterior depends on."""
    run, _ = opened
    prior = dataclasses.replace(
        run.model.prior, form="merged", bound="discrete", num_steps=3, reverse="fixed",
        teacher_steps=4,
    )  # fmt: skip
    model = dataclasses.replace(run.model, training="prior", prior=prior)
    params, stats = started(model, jax.random.key(0), run.facts.shape)
    params = jax.tree.map(lambda x: x + 0.1, params)
    images = run.images("test")[:8]
    batch = Batch(target=images, input=images, label=np.zeros(8, np.int32))

    def loss(params):
        return model.loss(params, stats, batch, jax.random.key(1), step=0, train=True)[0].mean()

    aux = model.loss(params, stats, batch, jax.random.key(1), step=0, train=True)[1]
    assert set(aux.terms.aside) == {"distillation"}
    zero = jax.numpy.int32(0)
    of_step = state.State(
        step=zero, params=params, stats=stats, opt_state=(), ema=params, ema_stats=stats,
        bad_steps=zero,
    )  # fmt: skip
    shown = step.loss_and_gradients(model, of_step, batch, jax.random.key(1))[0]
    assert shown["distillation"] == aux.terms.aside["distillation"].mean(), "as it is logged"
    gradients = jax.jit(jax.grad(loss))(params)
    assert any(leaf.any() for leaf in jax.tree.leaves(gradients["prior"]["denoiser"]))
    others = gradients | {"prior": {"schedule": gradients["prior"]["schedule"]}}
    assert not any(leaf.any() for leaf in jax.tree.leaves(others))

    adds = dict(name="adamax", l2=1e-6, warmup_steps=0, groups={"encoder": 0, "decoder": 0})
    settings = run.settings.replace(optim=adds)
    mesh = parallel.make_mesh(jax.devices()[:1])
    optimizer, _ = state.template(settings, model, run.facts.shape, mesh)
    given = optimizer.pack((gradients, optimizer.init(params), params))
    updates = optimizer.unpack(optimizer.update(*given)[0])
    assert any(leaf.any() for leaf in jax.tree.leaves(updates["prior"].pop("denoiser")))
    assert not any(leaf.any() for leaf in jax.tree.leaves(updates)), "L2 moves what is held"


def test_no_checkpoint_of_a_student_is_chosen_by_its_bound(opened, smoke_run):
    """For which it is not trained: it would choose the start."""
    run, _ = opened
    student = with_prior(run.model, reverse="fixed", teacher_steps=2)
    for model, chooses in ((run.model, True), (student, False)):
        assert score.score_of(model).chooses == chooses
        among = validations.among(dataclasses.replace(run, model=model), smoke_run)
        assert (among is not None) == chooses


def test_a_student_without_a_teacher_or_beside_other_training_is_refused(opened):
    run, _ = opened
    model = with_prior(run.model, reverse="fixed", teacher_steps=2)
    with pytest.raises(UserError, match=r"name its run in config\.train\.init_from"):
        students.check(model, Train(), has_teacher=False)
    with pytest.raises(UserError, match=r"train\.patience=3 waits for a better bound"):
        students.check(model, Train(patience=3), has_teacher=True)
    for training in ("joint", "detached"):
        with pytest.raises(UserError, match="is trained alone: training='prior'"):
            dataclasses.replace(model, training=training)
    for fields in ({"teacher_steps": 2}, {"weights": "simple"}):
        with pytest.raises(UserError, match=r"reverse='fixed'|weights='bound'"):
            with_prior(run.model, **({"reverse": "learned"} | fields))


def test_a_student_is_not_called_wrong_for_the_schedule_that_it_holds(opened):
    run, _ = opened
    model = with_prior(run.model, reverse="fixed", teacher_steps=2)
    case = Case.make(model.prior, (12,), (8, 8, 1), None, 0)
    held, said = priors._gradients(case)
    assert held, said
    assert "schedule" in case.params
    loose = dataclasses.replace(case, prior=dataclasses.replace(case.prior, teacher_steps=0))
    assert priors._gradients(loose)[0]
