"""Forked processes: they answer, and whatever becomes of them is said in one line, of the right kind."""

import os
import signal
from multiprocessing import Pipe

import forked
import psutil
import pytest
import torch

from bench.cell.apart.forks import Forked, Forks
from bench.cell.apart.messages import Raised, send
from bench.errors import Damaged, Died, Elsewhere, MemoryElsewhere, one_line


def ask(forks: Forks, function: str, message: object) -> object:
    """The first answer of a process to one message."""
    with forks.process(f"forked:{function}", "the process") as process:
        process.send(message)
        answer = process.receive()
        if isinstance(answer, Raised):
            raise answer.error
        return answer


def keeper(forks: Forks) -> psutil.Process:
    return psutil.Process(forks._keeper.pid)


def test_a_forked_process_answers_until_nobody_asks(forks):
    with forks.process("forked:echo", "the process") as process:
        for message in (1, "a", [None, 2.5]):
            process.send(message)
            assert process.receive() == [message]
        assert psutil.pid_exists(process.pid)
        assert process.pid != os.getpid()
    assert not psutil.pid_exists(process.pid)


def test_a_process_is_given_further_connections(forks):
    ours, theirs = Pipe()
    with ours, forks.process("forked:echo", "the process", (), [theirs]) as process:
        theirs.close()
        process.send(1)
        send(ours, 2)
        assert process.receive() == [1, 2]


def test_two_processes_at_once_do_not_mix_their_answers(forks):
    with forks.process("forked:echo", "one") as one, forks.process("forked:echo", "two") as two:
        one.send(1)
        two.send(2)
        assert (two.receive(), one.receive()) == ([2], [1])


def test_a_process_begins_afresh(forks):
    """With its standard streams and its connection, one thread, and as many for torch as it was prepared for."""
    links, threads, pid, torch_threads = ask(forks, "state", None)
    assert {number for number, target in links.items() if target.startswith("socket:")} - {0, 1, 2}
    assert len([number for number in links if number > 2]) == 1
    assert threads == 1
    assert pid != os.getpid()
    assert torch_threads == 1


def test_a_process_has_loaded_what_every_optimizer_needs(forks):
    assert ask(forks, "loaded", None)


@pytest.mark.parametrize("name", forked.odd_errors())
def test_what_is_raised_comes_back_as_one_line_and_its_traceback(forks, name):
    with pytest.raises(Elsewhere) as raised:
        ask(forks, "raises", name)
    error = raised.value
    assert not isinstance(error, MemoryError)
    assert one_line(error).startswith(forked.odd_errors()[name][1])
    assert "\n" not in one_line(error)
    assert len(one_line(error)) < 5000
    assert len(error.trace) < 200_000
    assert name == "odd syntax" or "in raises" in error.trace
    (one_line(error) + error.trace).encode()


@pytest.mark.parametrize("name", forked.memory_errors())
def test_memory_that_ran_out_is_told_from_other_errors(forks, name):
    with pytest.raises(MemoryElsewhere):
        ask(forks, "raises", name)


def test_a_damaged_file_is_still_one(forks):
    with pytest.raises(Damaged) as raised:
        ask(forks, "raises", "damaged")
    assert (raised.value.section, raised.value.key, raised.value.name) == ("victims", "0" * 32, "model.safetensors")


@pytest.mark.parametrize("way", forked.DEATHS)
def test_a_death_is_told_with_its_cause(forks, way):
    with pytest.raises(Died) as died:
        ask(forks, "dies", way)
    code = forked.DEATHS[way][1]
    assert died.value.code == code
    assert died.value.killed == (way == "killed")
    known = {-signal.SIGKILL: "signal SIGKILL; out of memory?", -signal.SIGSEGV: "signal SIGSEGV", -40: "signal 40"}
    how = known.get(code, "signal SIGABRT" if code < 0 else f"exit code {code}")
    assert str(died.value) == f"the process died ({how})"


def test_a_process_that_is_asked_after_its_death_has_died(forks):
    with forks.process("forked:echo", "the process") as process:
        os.kill(process.pid, signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(Died, match=r"the process died .signal SIGKILL"):
                talk(process)


@pytest.mark.parametrize("function", ["speaks", "speaks_when_asked"])
def test_what_a_process_said_last_is_heard_although_it_never_read_the_question(forks, function):
    """It may be what a timer of a plugin raised between two questions."""
    with forks.process(f"forked:{function}", "the process") as process:
        if function == "speaks_when_asked":
            process.send("a question")
        assert forks.exit_code(process.pid) == 0
        process.send("another question")
        assert process.receive() == "the last word"
        with pytest.raises(Died, match=r"the process died .exit code 0"):
            talk(process)


def talk(process: Forked) -> None:
    process.send(torch.zeros(10**6))
    process.receive()


def lose(forks: Forks) -> psutil.Process:
    """Kill the keeper; the process that it was, which is dead."""
    before = keeper(forks)
    before.kill()
    assert forked.soon(lambda: not before.is_running() or before.status() == psutil.STATUS_ZOMBIE)
    return before


def open_another(forks: Forks) -> None:
    with forks.process("forked:echo", "another"):
        pass


def test_the_keeper_s_death_is_an_error_and_the_next_process_has_a_new_one(own_forks):
    with own_forks.process("forked:echo", "the process") as process:
        lose(own_forks)
        with pytest.raises(Died, match=r"the process that starts others died .signal SIGKILL"):
            process.receive()
    assert forked.soon(lambda: not psutil.pid_exists(process.pid))
    assert ask(own_forks, "echo", 1) == [1]


def test_the_keeper_s_death_between_two_processes_of_a_stage_is_an_error(own_forks):
    with own_forks.process("forked:echo", "one"):
        lose(own_forks)
        with pytest.raises(Died, match="the process that starts others died"):
            open_another(own_forks)
    assert ask(own_forks, "echo", 1) == [1]


def test_a_keeper_that_died_while_nothing_ran_is_replaced(own_forks):
    assert ask(own_forks, "echo", 1) == [1]
    before = lose(own_forks)
    assert ask(own_forks, "echo", 2) == [2]
    assert keeper(own_forks).pid != before.pid


@pytest.mark.usefixtures("empty_keepers")
def test_a_keeper_that_cannot_start_is_an_error():
    forks = Forks(forked.fails)
    with pytest.raises(Died, match=r"the process that starts others died .exit code 1"):
        forks.start()
    forks.close()


@pytest.mark.parametrize("processes", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_descriptors_do_not_leak(forks, processes):
    ask(forks, "echo", 1)
    here, there = psutil.Process(), keeper(forks)
    before = here.num_fds(), there.num_fds()
    for number in range(processes // 4):
        assert ask(forks, "echo", number) == [number]
        for way in ("vanish", "killed"):
            with pytest.raises(Died):
                ask(forks, "dies", way)
        with pytest.raises(Elsewhere):
            ask(forks, "raises", "plain")
    assert (here.num_fds(), there.num_fds()) == before
    assert not there.children()
