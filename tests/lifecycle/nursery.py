"""
Fault 13: programs that are ended by a signal at a random instant, many of them fast.

One process imports everything and forks a child for each round. The child elects,
works a little, and elects again; after a random time it gets a signal, sometimes two.
"""

from __future__ import annotations

import random
import signal

ENDS = {signal.SIGTERM: {143}, signal.SIGINT: {-signal.SIGINT, 130}}

SOURCE = """
    import faulthandler
    import random
    faulthandler.register(signal.SIGUSR1, all_threads=True)

    async def on_a_loop():
        async def work(term):
            while True:
                await asyncio.sleep(pause)
                if random.random() < 0.3:
                    await elector.step_down(stay_out=0)
        elector = Elector(**options(**FAST))
        elector.on(EVENTS.LEADERSHIP_ACQUIRED, lambda e: say("leads", os.getpid()))
        await elector.run(work)

    def on_a_thread():
        def work(term):
            while not term.lost.wait(pause):
                if random.random() < 0.3:
                    elector.step_down(stay_out=0)
        elector = sync.Elector(**options(**FAST))
        elector.on(EVENTS.LEADERSHIP_ACQUIRED, lambda e: say("leads", os.getpid()))
        elector.run(work)

    def live():
        if front == "asyncio":
            asyncio.run(on_a_loop())
        else:
            on_a_thread()

    for line in sys.stdin:
        front, pause, delay, number, again, seed = line.split()
        pause, delay, number, again = float(pause), float(delay), int(number), float(again)
        random.seed(int(seed))
        born, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(born)
            os.close(told)  # Python forgets signals that come during a fork
            break
        os.close(told)
        os.read(born, 1)
        os.close(born)
        time.sleep(delay)
        os.kill(pid, number)
        if again >= 0.0:
            time.sleep(again)
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        began = time.monotonic()
        while time.monotonic() < began + 45:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                break
            time.sleep(0.005)
        else:
            os.kill(pid, signal.SIGUSR1)  # where does it hang?
            time.sleep(0.5)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            say("round", pid, "hung")
            continue
        say("round", pid, os.waitstatus_to_exitcode(status))
    else:
        sys.exit(0)
    live()
"""


def play(program, *, rounds, seed):
    """Play so many rounds, and check each one's end."""
    luck = random.Random(seed)  # noqa: S311 - a seed repeats a failure
    nursery = program(SOURCE, stdin=True)
    for number in range(rounds):
        kill = luck.choice(list(ENDS))
        again = luck.uniform(0.0, 0.05) if luck.random() < 0.25 else -1.0
        told = (
            luck.choice(["asyncio", "threads"]),
            luck.uniform(0.0, 0.05),
            luck.uniform(0.0, 0.4),
            int(kill),
            again,
            luck.randrange(1000),
        )
        nursery.process.stdin.write((" ".join(map(str, told)) + "\n").encode())
        nursery.process.stdin.flush()
        _, pid, code = nursery.wait_for("round").split()
        where = f"seed {seed}, round {number}: {told}, ended {code}"
        assert code != "hung", f"{where}: {nursery.errors}"
        # Before the elector has started, the signal does what it does to any program.
        # Nor does a second signal wait, which may come when all is given back.
        early = {-kill} if again >= 0 or f"leads {pid}" not in nursery.said else set()
        assert int(code) in ENDS[kill] | early, f"{where}: {nursery.errors}"
        if again < 0.0:
            # A program that was told once ends in good order, whatever it was doing.
            assert nursery.holder == "", where
    nursery.process.stdin.close()
    assert nursery.finish() == 0
    return nursery
