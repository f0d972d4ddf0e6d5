"""Lines of a run that a person reads."""

from types import SimpleNamespace

from train.running.log_lines import LogLines, line_of

ENTRY = {
    "loss": 1.23456,
    "grad_norm": 0.8123,
    "learning_rate": 8e-4,
    "tokens_per_second": 41234.5,
    "padding_share": 0.021,
}


def test_line_has_what_is_asked_first_and_the_time_left():
    line = line_of(20, 1200, {**ENTRY, "data_wait_share": 0.001, "mfu": 0.4512, "samples_per_second": 3.0}, 700.0)
    assert line == (
        "  20/1200  loss 1.235  gradient 0.812  rate 0.0008  tokens/s 41,234  padding 2.1%  waited 0.1%  MFU 45.1%  12 min left"
    )
    assert line_of(1200, 1200, ENTRY, 0.0).endswith("padding 2.1%")


def test_time_left_counts_the_steps_of_this_start_and_only_the_first_process_speaks():
    told, now = [], [0.0]
    lines = LogLines(told.append, clock=lambda: now[0])
    state = SimpleNamespace(global_step=100, max_steps=200, is_world_process_zero=True)
    lines.on_train_begin(None, state, None)
    now[0], state.global_step = 50.0, 150
    lines.on_log(None, state, None, logs=ENTRY)
    assert told[0].startswith("step    150/200  loss 1.235")
    assert told[0].endswith("50 s left")
    lines.on_log(None, state, None, logs={"eval_loss": 2.0, "eval_rouge_l": 0.25})
    assert told[1] == "eval    150/200  loss 2  ROUGE-L 0.250"
    lines.on_log(None, state, None, logs={"train_runtime": 3.0, "loss": 1.0})
    state.is_world_process_zero = False
    lines.on_log(None, state, None, logs=ENTRY)
    assert len(told) == 2
