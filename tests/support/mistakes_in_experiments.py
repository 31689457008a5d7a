"""Mistakes in experiment files, overrides and options of the command line."""

from __future__ import annotations

from support.mistakes import (
    CONFIG,
    HEADER,
    ONE,
    SMALL,
    Mistake,
    here,
)

IN_EXPERIMENTS = [
    # The experiment file.
    Mistake(
        "no such file",
        ("pretrain", "experiments/mvit_bse.py"),
        CONFIG,
        ("experiments/mvit_bse.py: no such experiment file", "did you mean 'experiments/mvit_base.py'?"),
        here("experiments/mvit_base.py", HEADER),
    ),
    Mistake(
        "not Python",
        ("pretrain", "run.yaml"),
        CONFIG,
        ("run.yaml is not an experiment file", "FILE.py"),
        here("run.yaml", "batch_size: 3"),
    ),
    Mistake("no experiment", ("pretrain", "no.py"), CONFIG, ("no.py defines no experiment",), here("no.py", HEADER)),
    Mistake(
        "two experiments",
        ("pretrain", "two.py"),
        CONFIG,
        ("two.py defines 2 experiments", "two.py:One", "two.py:Two"),
        here("two.py", HEADER + ONE.format(name="One") + ONE.format(name="Two")),
    ),
    Mistake(
        "no such class",
        ("pretrain", "two.py:Tow"),
        CONFIG,
        ("two.py has no experiment 'Tow'", "did you mean 'Two'?"),
        here("two.py", HEADER + ONE.format(name="One") + ONE.format(name="Two")),
    ),
    Mistake(
        "syntax error",
        ("pretrain", "slip.py"),
        CONFIG,
        ("slip.py:2", "was never closed"),
        here("slip.py", HEADER + "class A(PretrainExperiment\n"),
    ),
    Mistake(
        "raises",
        ("pretrain", "slip.py"),
        CONFIG,
        ("slip.py:2: ZeroDivisionError",),
        here("slip.py", HEADER + "1 / 0\n"),
    ),
    # --set.
    Mistake(
        "unknown key",
        (*SMALL, "--set", "batchsize=4"),
        CONFIG,
        ("batchsize: unknown field; did you mean 'batch_size'?",),
    ),
    Mistake(
        "unknown nested key",
        (*SMALL, "--set", "optim.rl=4"),
        CONFIG,
        ("optim.rl: unknown field", "known: betas, final_lr, fused, imu_layer_decay"),
    ),
    Mistake(
        "unknown key on the way",
        (*SMALL, "--set", "trainr.max_epochs=4"),
        CONFIG,
        ("--set trainr", "did you mean 'trainer'?"),
    ),
    Mistake(
        "wrong type",
        (*SMALL, "--set", "trainer.max_epochs=many"),
        CONFIG,
        ("trainer.max_epochs: ", "valid integer", "'many'"),
    ),
    Mistake(
        "unknown component",
        (*SMALL, "--set", "imu.type=DeepConvLTSM"),
        CONFIG,
        (
            "imu: unknown ImuEncoder 'DeepConvLTSM'; did you mean 'DeepConvLSTM'?",
            "(known: AnySensor, AttentionPooled, Deep",
        ),
    ),
    Mistake(
        "component as text",
        (*SMALL, "--set", "imu=DeepConvLSTM"),
        CONFIG,
        ("--set imu=DeepConvLSTM", "--set imu.type=DeepConvLSTM"),
    ),
    Mistake("no equals sign", (*SMALL, "--set", "seed"), CONFIG, ("--set seed", "path=value")),
    Mistake(
        "no device of the kind",
        (*SMALL, "--set", "trainer.accelerator=gpu"),
        CONFIG,
        ("trainer: No supported gpu backend found", "--set trainer.accelerator=cpu"),
        environment={"CUDA_VISIBLE_DEVICES": ""},
    ),
    Mistake(
        "more devices than pairs in a batch",
        (*SMALL, "--devices", "9"),
        CONFIG,
        ("batch_size: 8 windows cannot be shared by 9 devices",),
    ),
    # The command line itself.
    Mistake("no such command", ("pretrian", "a.py"), CONFIG, ("pretrian", "pretrain")),
    Mistake("no such format", ("export-encoder", "--modality", "imu", "--format", "jit"), CONFIG, ("revalexo",)),
    Mistake("no modality", ("export-encoder",), CONFIG, ("--modality",)),
]
